"""Engines and command lines as forks of a process that has imported their libraries.

A start of the engine is mostly imports: 5 to 7 s of processor time, against some tenths for a fork. What is forked is
a process of its own in every way that a test can see: pipes, signals, session, exit status, memory, environment.
What it does not prove is the start itself; for that `@pytest.mark.fresh` keeps a test on real starts, as does an
environment that differs in what libraries read when they are imported.

For those who start an engine themselves there is a Python to be put in the place of `sys.executable` (`stand_in`): it
has forked what it is asked for, and passes signals and the exit status on. For its sake nothing but quick parts of the
standard library is imported here.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from _thread import allocate_lock
from contextlib import suppress

FOLDER = "ZOTUI_TEST_FORKS"  # the environment variable that names the server's folder; without it all starts are real
MOST_BYTES = 2**17  # of a request: arguments and environment
_PATIENCE = 120.0  # seconds that the server may take to import everything on a busy machine

# What the libraries and the engine read only when they need it, or not at all.
_READ_LATE = {"ZOTUI_HOME", "NETRC", "PWD", "OLDPWD", "SHLVL", "_", "TERM", "COLORTERM", "LANG", "TMUX", "TMUX_PANE"}
_READ_LATE |= {"COLUMNS", "LINES", "TRACKIO_DIR"}
_NOT_READ = ("PYTEST_", "ZOTUI_TEST_", "SCRIPTED_")  # SCRIPTED: what stands in for an engine reads it

_FORKED = ("engine", "zotui")


class Unlike(Exception):
    """The process that is wanted would not be the same as a fork; the text says why."""


class Process:
    """A forked process, as `subprocess.Popen` would have it."""

    def __init__(self, arguments: list[str], env: dict[str, str], files: tuple[int, int, int], session: bool) -> None:
        """`arguments` follow `python`: `-m engine ...`; `files` become its standard ones. Raises `Unlike`."""
        self.args, self.returncode = arguments, None
        self.stdin = self.stdout = None
        self._server, self._reading = _connect(env), allocate_lock()
        request = {
            "arguments": arguments,
            "env": env,
            "cwd": os.getcwd(),  # noqa: PTH109
            "session": session,
            "umask": _umask(),
        }
        socket.send_fds(self._server, [json.dumps(request).encode()], files)
        self.pid: int = self._hear()["pid"]

    def _hear(self, flags: int = 0) -> dict[str, int]:
        data = self._server.recv(1000, flags)
        if not data:
            raise RuntimeError("the fork server has ended")
        return json.loads(data)  # type: ignore[no-any-return]

    def poll(self) -> int | None:
        """The exit status once it has ended; negative as that of `Popen` when a signal ended it."""
        return self._await(0.0)

    def _await(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._server], [], [], seconds)[0]:
            with self._reading, suppress(BlockingIOError):  # several threads may be waiting
                if self.returncode is None:
                    self.returncode = os.waitstatus_to_exitcode(self._hear(socket.MSG_DONTWAIT)["status"])
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises `subprocess.TimeoutExpired`."""
        if (code := self._await(timeout)) is None:
            import subprocess

            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Nothing, if it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _umask() -> int:
    """Of this process; to ask the system for it would be to change it for a moment, for all threads."""
    with open("/proc/self/status") as file:  # noqa: PTH123
        return next(int(line.split()[1], 8) for line in file if line.startswith("Umask:"))


def _connect(env: dict[str, str]) -> socket.socket:
    folder = env.get(FOLDER)
    if not folder:
        raise Unlike("there is no fork server")
    path, lock = f"{folder}/socket", os.open(f"{folder}/lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):  # noqa: PTH110
            _start(folder, path)
    finally:
        os.close(lock)
    check(folder, env)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MOST_BYTES)
    try:
        server.connect(path)
    except ConnectionRefusedError:
        raise RuntimeError(f"the fork server has ended: {_end_of_log(folder)}") from None
    return server


def _start(folder: str, path: str) -> None:
    """The first who needs it starts it, with the environment that the tests began with."""
    import subprocess

    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fork_server.py")  # noqa: PTH118, PTH120, PTH100
    with open(f"{folder}/env") as file:  # noqa: PTH123
        env = json.load(file)
    with open(f"{folder}/log", "ab") as log:  # noqa: PTH123
        server = subprocess.Popen(
            [_python(folder), "-P", script, folder],
            env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + _PATIENCE
    while not os.path.exists(path):  # noqa: PTH110
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the fork server did not start: {_end_of_log(folder)}")
        time.sleep(0.02)


def _end_of_log(folder: str) -> str:
    with open(f"{folder}/log") as log:  # noqa: PTH123
        return log.read()[-2000:]


def _python(folder: str) -> str:
    with open(f"{folder}/real") as file:  # noqa: PTH123
        return file.read()


def check(folder: str, env: dict[str, str]) -> None:
    """Raise `Unlike` if a fresh process would not find in this environment what the server found when it imported."""
    with open(f"{folder}/environment") as file:  # noqa: PTH123
        found = json.load(file)
    for name in sorted({*env, *found["given"]}):
        if name in _READ_LATE or name.startswith(_NOT_READ) or env.get(name) == found["given"].get(name):
            continue
        if name in found["given"] or env[name] != found["prepared"].get(name):
            raise Unlike(f"{name} is {env.get(name)!r} instead of {found['given'].get(name)!r}")


def become(folder: str) -> int:
    """Fork what this process's arguments ask for, and be it for whoever has started this; the exit code."""
    arguments, env = sys.argv[1:], dict(os.environ)
    try:
        if "-m" not in arguments[:2] or arguments[arguments.index("-m") + 1].partition(".")[0] not in _FORKED:
            raise Unlike("not one of ours")
        process = Process(arguments, {**env, FOLDER: folder}, (0, 1, 2), os.getsid(0) == os.getpid())
    except Unlike:
        os.execv(_python(folder), [_python(folder), *arguments])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: process.send_signal(number))
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # or nobody would ever see the other ends closed
        os.dup2(nothing, descriptor)
    code = process.wait()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


# -- for the tests -----------------------------------------------------------------------------------------


def make_folder(folder: str) -> None:
    """What the server and its clients share; `folder` is a short path, for that of the socket is limited."""
    for name, text in (
        ("pid", str(os.getpid())),
        ("env", json.dumps(dict(os.environ))),  # a test may have changed its own before it needs the server
        ("real", sys.executable),
        ("python", _STAND_IN.format(python=sys.executable, tests=os.path.dirname(os.path.abspath(__file__)))),  # noqa: PTH100, PTH120
    ):
        with open(f"{folder}/{name}", "w") as file:  # noqa: PTH123
            file.write(text)
    os.chmod(f"{folder}/python", 0o700)  # noqa: PTH101


_STAND_IN = """#!{python} -IS
import sys
sys.path.append({tests!r})
import forked, os
os._exit(forked.become(os.path.dirname(os.path.abspath(sys.argv[0]))))
"""


def stand_in() -> str:
    """A Python for `-m engine` and `-m zotui`; the real one where there is no server."""
    folder = os.environ.get(FOLDER)
    return f"{folder}/python" if folder else sys.executable
