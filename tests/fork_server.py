"""`python -P fork_server.py FOLDER`: imports what engines and command lines import, then forks them.

Single-threaded, and no tensor has been touched: a fork of it is what a fresh start would be after its imports.
`forked.py` is the other side, and says what a fork does and does not prove.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import importlib.util
import json
import os
import random
import runpy
import selectors
import signal
import socket
import sys
import threading
import types
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

# What an engine on a CPU has imported when it takes its first step, whatever it runs on.
_IMPORTED = (
    *("torch", "numpy", "datasets", "transformers", "transformers.models.opt.modeling_opt", "transformers.file_utils"),
    *(
        "engine.preflight.open",
        "engine.training.trainer",
        "engine.runtimes.training_loop",
        "engine.clients.socket",
        "engine.clients.trackers",
    ),
    *(
        "engine.clients.telemetry",
        "engine.stdio",
        "engine.preflight",
        "engine.export",
        "engine.training.evaluation",
        "engine.parity.replay",
        "engine.parity.training_loop",
    ),
    *("zotui.cli", "zotui.engines.launched", "zotui.headless.watch"),
)
_IMPORTED_WITH_VLLM = (
    *("engine.runtimes.vllm.runtime", "engine.parity.vllm", "vllm.entrypoints.llm", "vllm.model_executor.models.opt"),
    *("vllm.v1.engine.llm_engine", "vllm.v1.worker.cpu_worker", "vllm.v1.worker.cpu_model_runner"),
    *("vllm.lora.punica_wrapper.punica_cpu", "vllm.v1.attention.backends.cpu_attn", "vllm.v1.core.sched.scheduler"),
    *("vllm.model_executor.layers.quantization.online.base", "vllm.distributed.elastic_ep.elastic_execute"),
    "compressed_tensors.quantization",
    "vllm.model_executor.layers.quantization.compressed_tensors.compressed_tensors",
)
_HARMLESS_THREADS = ("jemalloc_bg_thd",)  # pyarrow's allocator, which stops and starts it around a fork


def _import_everything() -> None:
    from engine.environment import prepare, prepare_device
    from engine.stdio import log_to_stderr

    log_to_stderr()
    prepare()
    prepare_device("cpu")
    with_vllm = importlib.util.find_spec("vllm") is not None
    for name in (*_IMPORTED, *(_IMPORTED_WITH_VLLM if with_vllm else ())):
        importlib.import_module(name)
    tasks = [path for path in Path("/proc/self/task").iterdir() if path.name != str(os.getpid())]
    if others := {(path / "comm").read_text().strip() for path in tasks}.difference(_HARMLESS_THREADS):
        raise SystemExit(f"threads were started by an import, a fork would lack them: {others}")


class _Server:
    def __init__(self, folder: Path, tests: int) -> None:
        self._starts = os.environ.get("ZOTUI_TEST_STARTS")
        self._wanted = selectors.DefaultSelector()
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.bind(f"{folder}/socket.new")
        self._listening.listen(64)
        self._wanted.register(self._listening, selectors.EVENT_READ, self._accept)
        self._wanted.register(os.pidfd_open(tests), selectors.EVENT_READ, self._leave)
        self._clients: dict[socket.socket, int] = {}  # who asked, and the process that it was given
        Path(f"{folder}/socket.new").rename(folder / "socket")

    def serve(self) -> dict[str, Any]:
        """Comes back in every forked process, with what that is to be."""
        while True:
            for key, _ in self._wanted.select():
                if request := key.data(key.fileobj):
                    return request  # type: ignore[no-any-return]

    def _leave(self, _: int) -> None:
        """The tests are over."""
        for pid in self._clients.values():
            os.kill(pid, signal.SIGKILL)
        os._exit(0)

    def _accept(self, listening: socket.socket) -> None:
        client, _ = listening.accept()
        self._wanted.register(client, selectors.EVENT_READ, self._hear)

    def _hear(self, client: socket.socket) -> dict[str, Any] | None:
        data, files = b"", []
        with suppress(ConnectionError):  # gone before it read what it was told
            data, files, _, _ = socket.recv_fds(client, 2**18, 3)
        if not data:  # gone; its process, which nobody else can wait for, goes too
            self._wanted.unregister(client)
            client.close()
            if client in self._clients:
                os.kill(self._clients[client], signal.SIGKILL)
            return None
        request: dict[str, Any] = json.loads(data)
        pid = os.fork()
        if not pid:
            for descriptor, file in enumerate(files):
                os.dup2(file, descriptor)
            return request
        for file in files:
            os.close(file)
        self._clients[client] = pid
        module = _module(request["arguments"])[0]
        reap = partial(self._reap, pid=pid, client=client, module=module)
        self._wanted.register(os.pidfd_open(pid), selectors.EVENT_READ, reap)
        with suppress(OSError):
            client.send(json.dumps({"pid": pid}).encode())
        return None

    def _reap(self, ended: int, pid: int, client: socket.socket, module: str) -> None:
        _, status, used = os.wait4(pid, 0)
        if self._starts:
            with open(self._starts, "a") as counted:  # noqa: PTH123
                counted.write(f"forked {module} {used.ru_utime + used.ru_stime:.3f}\n")
        self._wanted.unregister(ended)
        os.close(ended)
        del self._clients[client]
        with suppress(OSError):  # nobody waits for it any more
            client.send(json.dumps({"status": status}).encode())

    def abandon(self) -> None:
        """In a child: what is the server's is closed."""
        self._wanted.close()
        os.closerange(3, 4096)
        for connection in (self._listening, *self._clients):
            connection.detach()


def _module(arguments: list[str]) -> tuple[str, list[str]]:
    """What follows `-m`, and the module's own arguments."""
    at = arguments.index("-m") + 1
    return arguments[at], arguments[at + 1 :]


def _be(request: dict[str, Any]) -> None:
    """What `python -m ...` does once Python has started."""
    if request["session"]:
        os.setsid()
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", 1 if os.isatty(1) else -1, closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    random.seed()
    importlib.import_module("numpy").random.seed()
    module, following = _module(request["arguments"])
    sys.argv = ["-m", *following]
    sys.modules["__main__"] = types.ModuleType("__main__")
    if not hasattr(sys.modules.get(module), "__path__"):
        sys.modules.pop(module, None)  # it is about to be run, not imported
    os._exit(_exit_code(lambda: runpy._run_module_as_main(module)))  # type: ignore[attr-defined]


def _exit_code(run: Callable[[], object]) -> int:
    """What Python does at its end, but for taking itself apart, of which libraries have much to say."""
    code: object = None
    try:
        run()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - as Python itself does
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    return (code or 0) & 0xFF


def main() -> None:
    folder, given = Path(sys.argv[1]), dict(os.environ)
    tests = int((folder / "pid").read_text())
    sys.executable = str(folder / "python")  # what a fork starts is forked too
    _import_everything()
    (folder / "environment").write_text(json.dumps({"given": given, "prepared": dict(os.environ)}))
    gc.collect()
    gc.freeze()  # or the first look for unreachable objects would copy all of them
    server = _Server(folder, tests)
    request = server.serve()
    server.abandon()
    _be(request)


if __name__ == "__main__":
    main()
