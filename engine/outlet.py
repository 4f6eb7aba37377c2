"""Where events go: the engine's standard output, written by a thread so that no step ever waits."""

from __future__ import annotations

import os
import queue
import sys
import threading

from engine.messages import Done, Error, Event, Step, Telemetry, encode

_CAPACITY = 100_000  # events that a slow reader may lag behind
_FAREWELL = 5.0  # seconds to hand over what is left at the end


class Outlet:
    """Takes events and never blocks; a reader that is slow or gone loses events, not steps.

    The journal holds every step whatever happens here.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._queue: queue.Queue[Event | None] = queue.Queue(_CAPACITY)
        self._thread = threading.Thread(target=self._write, name="outlet", daemon=True)
        self._thread.start()
        self.dropped = 0

    @classmethod
    def take_stdout(cls) -> Outlet:
        """Keep the real standard output for events; everything printed from now on goes to the log."""
        descriptor = os.dup(1)
        sys.stdout.flush()
        os.dup2(2, 1)
        return cls(descriptor)

    def emit(self, event: Event) -> None:
        """Hand over an event. When the reader is far behind, steps and telemetry are left out."""
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self.dropped += 1
            if isinstance(event, (Step, Telemetry)):
                return
            if isinstance(event, (Done, Error)):  # these must arrive if anything does
                self._queue.get_nowait()
                self._queue.put_nowait(event)

    def close(self) -> None:
        """Write what is left, but do not wait for a reader that is stuck."""
        try:
            self._queue.put(None, timeout=_FAREWELL)
        except queue.Full:
            return
        self._thread.join(_FAREWELL)

    def _write(self) -> None:
        broken = False
        while (event := self._queue.get()) is not None:
            if broken:
                continue  # keep emptying the queue: nobody reads
            line = encode(event)
            try:
                while line:
                    line = line[os.write(self._descriptor, line) :]
            except OSError:
                broken = True
        os.close(self._descriptor)
