"""The engine as zotui starts it: a real process, spoken to over its pipes or its socket, and read line by line."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Self

from engine.protocol.codec import decode_event, encode
from engine.protocol.commands import AnyCommand
from engine.protocol.events import AnyEvent
from engine.runs.directory import RunDir
from tests import starting


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
        super().__init__(run, lambda: iter(self.process.stdout or ()), self._write)
        if most_seconds is not None:
            watchdog = threading.Timer(most_seconds, self.process.kill)
            watchdog.daemon = True
            watchdog.start()

    def _write(self, data: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def finish(self) -> int:
        for _ in self.events():
            pass
        return self.process.wait(60)


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
