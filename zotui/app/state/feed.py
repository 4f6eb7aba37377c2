"""Where a screen's events come from: a live engine, or the records of a run.

A feed reads in a thread of its own and hands over what has gathered when it is drained, so that a
run of any speed costs the screen a few small batches a second. The thread is a daemon: it may be
blocked on a pipe when the app leaves, and must not hold the app back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from engine.errors import UserError
from engine.preset.schema import Preset
from engine.protocol.commands import AnyCommand
from engine.protocol.events import AnyEvent, Hello, Log
from engine.runs.directory import RunDir, Summary
from engine.runs.info import Info
from engine.runs.usage import Usage, together
from zotui.app.state.history import Noted, checkpoints, follow, interleaved, noted, past
from zotui.app.state.marks import Mark
from zotui.runs.steps import Steps

MOST_PER_DRAIN = 4000
"""Items handed over at once: a long history is taken in over several drains."""


@dataclass(frozen=True)
class Past:
    """Steps, what was noted between them, a mark or what the run took, read from the records instead of watched."""

    event: Steps | Noted | Mark | Usage


@dataclass(frozen=True)
class Viewed:
    """What is known of a run that another process drives, or that has ended."""

    summary: Summary
    device: str
    model: str
    runtime: str
    dtype: str = ""
    noise: float | None = None  # see `Hello`
    resolved: Preset | None = None  # where it can be read
    took_over: int = 0  # steps, of a fork


@dataclass(frozen=True)
class Begun:
    """What is known of a run before its engine says anything."""

    preset: str  # its name
    resolved: Preset
    done: int
    took_over: int = 0  # steps, of a fork


@dataclass(frozen=True)
class Ended:
    """Nothing more will come; `code` is the engine's exit code, None for records."""

    code: int | None


Item = AnyEvent | Past | Viewed | Begun | Ended


class Engine(Protocol):
    """A live engine, launched or attached to."""

    run: RunDir
    attached: bool
    steps_before: int  # on record when it was launched, or attached to

    @property
    def ignored(self) -> int: ...

    def events(self) -> Iterator[AnyEvent]: ...

    def send(self, command: AnyCommand) -> bool: ...

    def alive(self) -> bool: ...

    def wait(self) -> int | None: ...

    def leave(self) -> None: ...


class Feed(Protocol):
    """What a cockpit watches."""

    run: RunDir
    role: str  # what this app is to the run, unless it launched it

    def start(self) -> None:
        """Begin to read."""

    def drain(self) -> list[Item]:
        """What has come since the last call."""

    def send(self, command: AnyCommand) -> bool:
        """Tell the engine something; False when nobody hears it."""

    def close(self) -> None:
        """Nobody will drain any more."""


class _Gathering:
    """The part that all feeds share: a reader thread and what it gathered."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._items: deque[Item] = deque()
        self._closing = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._gather, name=f"feed {self._name}", daemon=True).start()

    def drain(self) -> list[Item]:
        # popleft and append on a deque are atomic; only this side takes, so no lock is needed.
        return [self._items.popleft() for _ in range(min(len(self._items), MOST_PER_DRAIN))]

    def close(self) -> None:
        self._closing.set()

    def _gather(self) -> None:
        for item in self._read():
            if not self._closing.is_set():  # else read on to the end, so that nobody is held up writing
                self._items.append(item)

    def _read(self) -> Iterator[Item]:
        raise NotImplementedError


class EngineFeed(_Gathering):
    """The events of an engine that this app launched or is attached to, after what the records tell."""

    def __init__(self, engine: Engine, *, knows_the_past: bool = False) -> None:
        super().__init__(engine.run.name)
        self.run = engine.run
        self.engine = engine
        self.role = "attached" if engine.attached else ""
        self._knows_the_past = knows_the_past

    def start(self) -> None:
        with suppress(UserError, OSError):  # the engine will say what is wrong
            info = self.run.info.read()
            self._items.append(Begun(info.preset, self.run.preset(), self.engine.steps_before, _took_over(info)))
        super().start()

    def send(self, command: AnyCommand) -> bool:
        return self.engine.send(command)

    def close(self) -> None:
        super().close()
        self.engine.leave()

    def _read(self) -> Iterator[Item]:
        ignored = 0
        before = self.engine.steps_before
        if before and not self.engine.attached and not self._knows_the_past:
            yield from _records_before(self.run, before)
        for event in self.engine.events():
            if self.engine.ignored and not ignored:
                yield Log(level="warning", text="what the engine said was no event; more of it is only counted")
            ignored = self.engine.ignored
            yield event
            if isinstance(event, Hello) and self.engine.attached and not self._knows_the_past:
                yield from _records_before(self.run, event.first_step)
        if self.engine.ignored > 1:
            yield Log(level="warning", text=f"{self.engine.ignored} lines of the engine were no events")
        yield Ended(self.engine.wait())


class RecordsFeed(_Gathering):
    """The journal and evaluations of a run; followed as they grow while the run is live."""

    def __init__(self, run: RunDir) -> None:
        super().__init__(run.name)
        self.run = run
        self.role = "read-only"

    def start(self) -> None:
        # Where it stands decides about half of the screen, which is dear to arrange twice.
        self._items.append(self._view())
        super().start()

    def send(self, command: AnyCommand) -> bool:
        return False

    def _read(self) -> Iterator[Item]:
        yield from _marked(self.run)
        yield from _taken(self.run)
        seen, word = 0, self.run.summary().word
        try:
            for steps in follow(self.run, self.run.is_live):
                taken = noted(self.run)
                yield from (Past(one) for one in interleaved(steps, taken[seen:]))
                seen = len(taken)
                if (now := self.run.summary().word) != word and self.run.is_live():  # paused, or resumed
                    word = now
                    yield self._view()
                if self.run.is_live() and self._closing.wait(0.5):
                    return
        except UserError as error:
            yield Log(level="error", text=str(error))
        yield from _taken(self.run)
        yield self._view()
        yield Ended(None)

    def _view(self) -> Viewed:
        info = self.run.info.read()
        resolved = None
        with suppress(UserError, OSError):
            resolved = self.run.preset()
        model, noise = resolved.model.path if resolved else "", info.noise.nats if info.noise else None
        summary, took_over = self.run.summary(), _took_over(info)
        return Viewed(summary, info.device, model, info.runtime, info.dtype, noise, resolved, took_over)


def _took_over(info: Info) -> int:
    return info.forked_from.step if info.forked_from else 0


def _marked(run: RunDir) -> Iterator[Past]:
    yield from (Past(Mark(step, "checkpoint")) for step in checkpoints(run))
    yield from (Past(Mark(pause.step, "pause")) for pause in run.info.read().pauses)


def _taken(run: RunDir) -> list[Past]:
    whole = together(run.usage())
    return [Past(whole)] if whole else []


def _records_before(run: RunDir, step: int) -> Iterator[Item]:
    yield from _marked(run)
    try:
        for event in past(run, step):
            yield Past(event)
    except UserError as error:
        yield Log(level="error", text=str(error))
