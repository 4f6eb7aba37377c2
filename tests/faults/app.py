"""The app goes away, the engine goes on: the app is killed, hung up on, or its terminal is closed."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from engine.protocol.commands import Pause, Resume
from engine.protocol.events import State
from engine.runs.directory import RunDir
from tests.faults.evidence import whole_lines
from tests.faults.trial import STEPS, Outcome, Trial
from tests.faults.workshop import Workshop, wait_for
from tests.live_engine import Client

# Takes the terminal on its standard input as its own, as a login shell would, and becomes the app.
# HUP is as a login shell leaves it: what runs under nohup would ignore it.
_IN_TERMINAL = (
    "import fcntl, os, signal, sys, termios; signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
)


def leaves(shop: Workshop, outcome: Outcome) -> None:
    """`zotui run` in a terminal of its own, taken away in the middle of the run."""
    for how in ("SIGKILL", "terminal closed", "SIGHUP")[: shop.tries(2, 3)]:
        for _ in range(shop.tries(1, 3)):
            _leave(shop, outcome, how)
            outcome.tried += 1


def _leave(shop: Workshop, outcome: Outcome, how: str) -> None:
    preset = shop.preset(steps=STEPS)
    file = shop.folder / "app.toml"
    file.write_text(preset.to_toml())
    folder = shop.folder / "runs" / f"app-{how.replace(' ', '-')}-{outcome.tried}"
    run = RunDir(folder)
    command = [*shop.command("run", str(file), "--run-dir", str(folder))]
    with _terminal(command, shop.environment) as (app, master), ExitStack() as stack:
        wait_for("a step of the app's run", lambda: len(whole_lines(run)) > 2)
        client = stack.enter_context(Client(run))
        trial = Trial(shop, outcome, run=run)
        trial.look()
        if how == "terminal closed":
            os.close(master)
        else:
            app.send_signal(getattr(signal, how))
        client.send(Pause())  # an app takes its time to go, and a run of quick steps does not wait for that
        left_at = client.until(State, state="paused").step
        app.wait(240)
        assert left_at < STEPS, "the run was over before its app was gone"
        client.send(Resume())
        client.until(State, state="running")
    wait_for("the end of the run without its app", lambda: not run.is_live())
    state = run.summary().standing
    assert state == "finished", f"{how} of the app: the run is {state} after {len(whole_lines(run))} steps"
    trial.compare()


@contextmanager
def _terminal(command: list[str], environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A command in a new terminal; gives its process and the end of the terminal that a window would hold."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", _IN_TERMINAL, *command],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**os.environ, **environment, "TERM": "xterm-256color"},
    )
    os.close(slave)
    threading.Thread(target=_swallow, args=(master,), daemon=True).start()
    try:
        yield process, master
    finally:
        process.kill()
        process.wait()
        with suppress(OSError):
            os.close(master)


def _swallow(master: int) -> None:
    """Read what the terminal would show, for a program waits once nobody does."""
    with suppress(OSError):
        while os.read(master, 65536):
            pass
