"""Start the engine as a child process and talk to it over its pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, ClassVar

from engine.errors import UserError
from engine.protocol.codec import encode
from engine.protocol.commands import AnyCommand
from engine.protocol.events import AnyEvent, Error
from engine.protocol.order import Order
from engine.runs.directory import RunDir
from zotui.engines.listening import Listener
from zotui.engines.spare import Spare


class EngineProcess:
    """A running `python -m engine` for one run.

    The engine is a direct child in a session of its own, so that a closing terminal does not take
    it along; its log goes to a file in the run's directory, never onto the terminal. It outlives this
    process, and can then be attached to.
    """

    attached = False

    COMMAND: ClassVar[tuple[str, ...]] = (sys.executable, "-P", "-m", "engine")
    """What starts an engine (-P: not a folder called engine here); tests put a scripted one in its place."""

    def __init__(self, run: RunDir, *, resume: bool = False, spare: Spare | None = None) -> None:
        """Start an engine on the run, or tell the `spare` one of it; one that has died is passed over."""
        self.run = run
        self.steps_before = run.steps_done() if resume else 0  # counted before the engine can add to them
        self._resume = resume
        with run.log_file.open("ab") as log:
            told = spare.tell(Order(run=str(run.path), resume=resume)) if spare is not None else None
            self._process = told or self._begin(log)
        assert self._process.stdout is not None
        self._listener = Listener(run, self._process.stdout.read1)  # type: ignore[attr-defined] # it is buffered

    def _begin(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        command = [*self.COMMAND, str(self.run.path)]
        if self._resume:
            command.append("--resume")
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id of the engine."""
        return self._process.pid

    @property
    def ignored(self) -> int:
        """How many lines were no event."""
        return self._listener.ignored

    def events(self) -> Iterator[AnyEvent]:
        """Every event until the engine closes its pipe. Lines that are no event are skipped."""
        return self._listener.events(self._process.wait)

    def send(self, command: AnyCommand) -> bool:
        """Tell the engine something; False when it can no longer hear."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(encode(command))
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError, OSError):
            return False
        return True

    def leave(self) -> None:
        """Nothing more will be sent; see `run.when_app_leaves` for what the engine makes of it."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended, and a command was still on its way
            self._process.stdin.close()

    def signal(self, number: int) -> None:
        """Pass a signal on (INT and TERM: finish the step, save, end)."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):  # it ended since, and somebody else has waited for it
                os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End the engine at once; the journal keeps every finished step."""
        self.signal(signal.SIGKILL)

    def alive(self) -> bool:
        """Whether the engine still runs."""
        return self._process.poll() is None

    def wait(self) -> int:
        """The engine's exit code (128 + n when signal n ended it), once it has ended.

        A new run that was refused, or failed, before its first step leaves no directory behind.
        """
        code = self._process.wait()
        code = 128 - code if code < 0 else code
        last = self._listener.last_word
        if isinstance(last, Error) and last.kind in ("usage", "start") and code > 0 and not self._resume:
            self.run.discard()
        return code

    def take_back(self) -> Path | None:
        """Take back a new run whose engine is gone before its first step and without a word; where its log is kept.

        None for any other run: it stays.
        """
        if self._resume or self._listener.greeted or self._listener.last_word is not None or self.run.begun():
            return None
        kept = self.run.keep_log()
        if kept is not None:
            self.run.discard()
        return kept


def start_engine(run: RunDir, *, resume: bool = False, spare: Spare | None = None) -> EngineProcess:
    """Start the engine on a run. Raises `UserError`, and takes a new run back, where the system refuses."""
    try:
        return EngineProcess(run, resume=resume, spare=spare)
    except OSError as error:
        if not resume:
            run.discard()
        raise UserError(f"{run.path}: the engine cannot be started ({error})") from None
