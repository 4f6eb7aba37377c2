"""Where events go: to every reader at once, each served by a thread of its own, so that no step ever waits."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable

from msgspec import structs

from engine.protocol.codec import encode
from engine.protocol.events import Done, Error, Event, Hello, Log, Phase, State, Step, Telemetry
from engine.runs.timing import WorkClock
from engine.stdio import take_stdout

_CAPACITY = 100_000  # events that a slow reader may lag behind
_FAREWELL = 5.0  # seconds to hand over what is left at the end


class Reader:
    """One who reads the events, at its own speed. One that is slow or gone loses events, and is told so at the end."""

    def __init__(self, take: Callable[[Event], None], gone: Callable[[], None], disk_wait: float = _FAREWELL) -> None:
        """`take` is given every event, and raises `OSError` where nobody reads any more; `gone` is called at the end.

        At its end a run waits for this reader for at most `disk_wait` seconds.
        """
        self._take, self._gone, self.disk_wait = take, gone, disk_wait
        self._queue: queue.Queue[Event | None] = queue.Queue(_CAPACITY)
        self._dropped = 0
        self._thread = threading.Thread(target=self._serve, name="reader", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Hand over an event without ever waiting. One reader's events come from one thread at a time.

        When the reader is far behind, steps and telemetry are left out, and for the rest the oldest make room.
        """
        if isinstance(event, (Done, Error)) and self._dropped:
            self._squeeze_in(Log(level="warning", text=f"{self._dropped} events were dropped: this reader is slow; "
                                                       "the journal has every step"))  # fmt: skip
        if isinstance(event, (Step, Telemetry)) and self._queue.full():
            self._dropped += 1
        else:
            self._squeeze_in(event)

    def finish(self) -> None:
        """Nothing more will come. Does not wait."""
        self._squeeze_in(None)

    def join(self, seconds: float) -> None:
        """Wait until everything is taken, for at most so many seconds."""
        self._thread.join(max(0.0, seconds))

    def _squeeze_in(self, event: Event | None) -> None:
        while True:
            try:
                return self._queue.put_nowait(event)
            except queue.Full:
                self._make_room()

    def _make_room(self) -> None:
        try:
            self._queue.get_nowait()
        except queue.Empty:  # the thread was faster
            return
        self._dropped += 1

    def _serve(self) -> None:
        broken = False
        while (event := self._queue.get()) is not None:
            if broken:
                continue  # keep emptying the queue: nobody reads
            try:
                self._take(event)
            except OSError:
                broken = True
        self._gone()


def lines(write: Callable[[bytes], int]) -> Callable[[Event], None]:
    """What takes events and writes them as lines; `write` takes some of the bytes it is given and says how many."""

    def take(event: Event) -> None:
        line = encode(event)
        while line:
            line = line[write(line) :]

    return take


class Outbox:
    """Takes events and never blocks. The journal holds every step, whatever happens here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: list[Reader] = []
        self._closed = False
        # What one who comes later needs to know.
        self._hello: tuple[Hello, float] | None = None  # and when it was said
        self._clock = WorkClock()
        self._phase: Phase | None = None
        self._state = State(state="starting", step=0)
        self._next_step = 0
        self._last_word: Done | Error | None = None

    @classmethod
    def take_stdout(cls) -> Outbox:
        """Keep the real standard output for events; everything printed from now on goes to the log."""
        descriptor = take_stdout()
        outbox = cls()
        outbox._readers.append(Reader(lines(lambda line: os.write(descriptor, line)), lambda: os.close(descriptor)))
        return outbox

    def emit(self, event: Event) -> None:
        """Hand an event to every reader."""
        with self._lock:
            self._remember(event)
            for reader in self._readers:
                reader.put(event)

    def follow(self, take: Callable[[Event], None], gone: Callable[[], None], disk_wait: float) -> None:
        """Take in a reader within this process, before `Hello` is said. The arguments are those of `Reader`."""
        with self._lock:
            self._readers.append(Reader(take, gone, disk_wait))

    def admit(self, write: Callable[[bytes], int], gone: Callable[[], None]) -> Reader:
        """Take in a reader who comes later: it is told where the run stands, then everything from now on.

        Its `Hello` names the next step that it will be told of. The arguments are those of `lines` and `Reader`.
        """
        with self._lock:
            reader = Reader(lines(write), gone)
            for event in self._standing():
                reader.put(event)
            if self._closed:
                reader.finish()
            else:
                self._readers.append(reader)
        return reader

    def dismiss(self, reader: Reader) -> None:
        """This reader is gone."""
        with self._lock:
            if reader in self._readers:
                self._readers.remove(reader)
        reader.finish()

    def close(self) -> None:
        """Write what is left, but do not wait for readers that are stuck."""
        with self._lock:
            self._closed = True
            readers = list(self._readers)
        began = time.monotonic()
        for reader in readers:
            reader.finish()
        for reader in readers:
            reader.join(began + reader.disk_wait - time.monotonic())

    def _remember(self, event: Event) -> None:
        match event:
            case Hello():
                self._hello = event, self._clock.now()
                self._next_step = event.first_step
            case Step():
                self._next_step = event.step + 1
            case Phase():
                self._phase = event
            case State():
                self._state = event
                self._clock.hold(event.state == "paused")
            case Done() | Error():
                self._last_word = event

    def _standing(self) -> list[Event]:
        told: list[Event] = []
        if self._hello is not None:
            hello, then = self._hello
            seconds = hello.seconds + self._clock.now() - then
            told.append(structs.replace(hello, first_step=self._next_step, seconds=seconds))
        elif self._phase is not None:
            told.append(self._phase)
        told.append(structs.replace(self._state, step=max(self._state.step, self._next_step)))
        return told if self._last_word is None else [*told, self._last_word]
