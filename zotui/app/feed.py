"""Where a cockpit's events come from: a live engine, or the records of a run.

A feed reads in a thread of its own and hands over what has gathered when it is drained, so that a
run of any speed costs the screen a few small batches a second. The thread is a daemon: it may be
blocked on a pipe when the app leaves, and must not hold the app back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from engine.errors import UserError
from engine.messages import AnyCommand, AnyEvent, Eval, Hello, Log, Step
from engine.rundir import RunDir, Summary
from zotui.app.history import evaluations, follow, past
from zotui.launch import EngineProcess

MOST_PER_DRAIN = 4000
"""Items handed over at once: a long history is taken in over several drains."""


@dataclass(frozen=True)
class Past:
    """A step or evaluation that was read from the records instead of watched."""

    event: Step | Eval


@dataclass(frozen=True)
class Viewed:
    """What is known of a run that another process drives, or that has ended."""

    summary: Summary
    device: str
    model: str
    runtime: str


@dataclass(frozen=True)
class Ended:
    """Nothing more will come; `code` is the engine's exit code, None for records."""

    code: int | None


Item = AnyEvent | Past | Viewed | Ended


class Feed(Protocol):
    """What a cockpit watches."""

    run: RunDir

    def start(self) -> None:
        """Begin to read."""

    def drain(self) -> list[Item]:
        """What has come since the last call."""

    def send(self, command: AnyCommand) -> bool:
        """Tell the engine something; False when nobody hears it."""

    def close(self) -> None:
        """Nobody will drain any more."""


class _Gathering:
    """The part that both feeds share: a reader thread and what it gathered."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self._items: deque[Item] = deque()
        self._closing = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._gather, name=f"feed {self.run.name}", daemon=True).start()

    def drain(self) -> list[Item]:
        # popleft and append on a deque are atomic; only this side takes, so no lock is needed.
        return [self._items.popleft() for _ in range(min(len(self._items), MOST_PER_DRAIN))]

    def close(self) -> None:
        self._closing.set()

    def _gather(self) -> None:
        for item in self._read():
            self._items.append(item)
            if self._closing.is_set():
                return

    def _read(self) -> Iterator[Item]:
        raise NotImplementedError


class EngineFeed(_Gathering):
    """The events of an engine that this app launched."""

    def __init__(self, engine: EngineProcess, *, knows_the_past: bool = False) -> None:
        super().__init__(engine.run)
        self.engine = engine
        self._knows_the_past = knows_the_past

    def send(self, command: AnyCommand) -> bool:
        return self.engine.send(command)

    def _read(self) -> Iterator[Item]:
        for event in self.engine.events():
            if isinstance(event, Hello) and event.first_step > 0 and not self._knows_the_past:
                yield from _records_before(self.run, event.first_step)
            yield event
        yield Ended(self.engine.wait())


class RecordsFeed(_Gathering):
    """The journal and evaluations of a run; followed as they grow while the run is live."""

    def send(self, command: AnyCommand) -> bool:
        return False

    def _read(self) -> Iterator[Item]:
        yield self._view()
        seen = 0
        try:
            for steps in follow(self.run, self.run.is_live):
                yield from (Past(step) for step in steps)
                taken = evaluations(self.run)
                yield from (Past(evaluation) for evaluation in taken[seen:])
                seen = len(taken)
                if self.run.is_live() and self._closing.wait(0.5):
                    return
        except UserError as error:
            yield Log(level="error", text=str(error))
        yield self._view()
        yield Ended(None)

    def _view(self) -> Viewed:
        info = self.run.info()
        try:
            preset = self.run.preset()
            model = preset.model.path
        except (UserError, OSError):
            model = str(info.get("model", ""))
        return Viewed(self.run.summary(), str(info.get("device", "")), model, str(info.get("runtime", "")))


def _records_before(run: RunDir, step: int) -> Iterator[Item]:
    try:
        for event in past(run, step):
            yield Past(event)
    except UserError as error:
        yield Log(level="error", text=str(error))
