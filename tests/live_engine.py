"""The engine as zotui starts it: a real process, spoken to over its pipes and read line by line."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine import messages
from engine.rundir import RunDir


class Engine:
    """`python -m engine` on a run."""

    def __init__(
        self,
        run: RunDir,
        *,
        resume: bool = False,
        environment: Mapping[str, str] | None = None,
        most_seconds: float | None = None,
    ) -> None:
        """`environment` is added to this process's own; after `most_seconds` a hanging engine is killed."""
        self.run = run
        with run.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "engine", str(run.path), *(["--resume"] if resume else [])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        self.seen: list[messages.AnyEvent] = []
        if most_seconds is not None:
            watchdog = threading.Timer(most_seconds, self.process.kill)
            watchdog.daemon = True
            watchdog.start()

    def events(self) -> Iterator[messages.AnyEvent]:
        assert self.process.stdout
        for line in self.process.stdout:
            if not line.endswith(b"\n"):
                return  # killed while it wrote
            self.seen.append(messages.decode_event(line))
            yield self.seen[-1]

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of one type that were read so far."""
        return [event for event in self.seen if isinstance(event, kind)]

    def reach(self, wanted: Callable[[messages.AnyEvent], bool]) -> bool:
        """Read up to the event that is wanted; False when the engine ended without it."""
        return any(wanted(event) for event in self.events())

    def until(self, kind: type[Any], **wanted: Any) -> Any:
        """The next event of a type with these fields."""

        def matches(event: messages.AnyEvent) -> bool:
            return isinstance(event, kind) and all(getattr(event, k) == v for k, v in wanted.items())

        if self.reach(matches):
            return self.seen[-1]
        raise AssertionError(
            f"the engine ended without {kind.__name__} {wanted}; its log ends with: {' '.join(self.run.log_tail(3))}"
        )

    def send(self, command: messages.AnyCommand) -> None:
        assert self.process.stdin
        self.process.stdin.write(messages.encode(command))
        self.process.stdin.flush()

    def finish(self) -> int:
        for _ in self.events():
            pass
        return self.process.wait(60)
