"""The engine as zotui starts it: a real process, spoken to over its pipes or its socket, and read line by line."""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Self

from engine.protocol.codec import decode_event, encode
from engine.protocol.commands import AnyCommand, Pause, Resume
from engine.protocol.events import AnyEvent, Hello, State
from engine.runs.directory import RunDir
from tests import starting

_LINE = 300  # bytes, about: a step in the journal


class Conversation:
    """What one end hears of an engine, and what it tells it."""

    def __init__(self, run: RunDir, hear: Callable[[], Iterator[bytes]], tell: Callable[[bytes], object]) -> None:
        self.run, self._hear, self.tell = run, hear, tell
        self.seen: list[AnyEvent] = []

    def events(self) -> Iterator[AnyEvent]:
        for line in self._hear():
            if not line.endswith(b"\n"):
                return  # killed while it wrote
            self.seen.append(decode_event(line))
            yield self.seen[-1]

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of one type that were read so far."""
        return [event for event in self.seen if isinstance(event, kind)]

    def reach(self, wanted: Callable[[AnyEvent], bool]) -> bool:
        """Read up to the event that is wanted; False when the engine ended without it."""
        return any(wanted(event) for event in self.events())

    def until(self, kind: type[Any], **wanted: Any) -> Any:
        """The next event of a type with these fields."""

        def matches(event: AnyEvent) -> bool:
            return isinstance(event, kind) and all(getattr(event, k) == v for k, v in wanted.items())

        if self.reach(matches):
            return self.seen[-1]
        log = " ".join(self.run.log_tail(3))
        raise AssertionError(f"the engine ended without {kind.__name__} {wanted}; its log ends with: {log}")

    def send(self, command: AnyCommand) -> None:
        self.tell(encode(command))


STARTED: list[Engine] = []
"""Every engine of the test that is at work, which ends with it: one left behind would slow down those that follow."""


class Engine(Conversation):
    """`python -m engine` on a run, over its pipes: forked, unless the test is to have fresh ones."""

    def __init__(
        self,
        run: RunDir,
        *,
        resume: bool = False,
        environment: Mapping[str, str] | None = None,
        most_seconds: float | None = None,
    ) -> None:
        """`environment` is added to this process's own; after `most_seconds` a hanging engine is killed."""
        with run.log_file.open("ab") as log:
            self.process = starting.start(
                ["-P", "-m", "engine", str(run.path), *(["--resume"] if resume else [])],
                env={**os.environ, **(environment or {})},
                stderr=log,
            )
        STARTED.append(self)
        super().__init__(run, lambda: iter(self.process.stdout or ()), self._write)
        if most_seconds is not None:
            watchdog = threading.Timer(most_seconds, self.process.kill)
            watchdog.daemon = True
            watchdog.start()

    def _write(self, data: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def limit(self, most: int) -> None:
        """The kernel refuses to let this engine write any file beyond `most` bytes; -1 is no limit."""
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    def advance(self, lines: float, *meanwhile: AnyCommand) -> int:
        """Have a paused run take some steps more and pause it there, however late this process is; the steps done.

        Its journal may grow by so many lines, more or less: the step whose line does not fit (the next one with 0.5)
        is held until the run is told to pause after it, and a checkpoint likewise. `meanwhile` is sent as it goes on.
        """
        journal = self.run.journal_file
        self.limit(int(lines * _LINE) + (journal.stat().st_size if journal.exists() else 0))
        for command in (Resume(), *meanwhile):
            self.send(command)
        self.until(State, state="paused", waits=True)
        self.send(Pause())
        self.until(State, state="paused", waits=True)
        self.limit(-1)
        self.send(Pause())  # which has it try again, unless it just has
        self.until(State, state="pausing")
        self.until(State, state="paused", waits=False)
        return self.run.steps_done()

    def hold(self) -> None:
        """Told at once, so that the run is up and paused before its first step."""
        self.send(Pause())
        self.until(Hello)

    def finish(self) -> int:
        for _ in self.events():
            pass
        return self.process.wait(240)


class Client(Conversation):
    """A connection to the control socket of a live run."""

    def __init__(self, run: RunDir) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with run.control_address() as address:
            self.socket.connect(address)
        file = self.socket.makefile("rb")
        super().__init__(run, lambda: iter(file), self.socket.sendall)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # the engine was faster
            self.leave()
        self.socket.close()

    def leave(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
