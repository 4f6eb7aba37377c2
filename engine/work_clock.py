"""A clock that stands while a run is paused: what elapsed is work."""

from __future__ import annotations

import time
from collections.abc import Callable


class WorkClock:
    """Seconds of another clock, without those in which it was held."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held = 0.0  # seconds of the pauses that are over
        self._held_since: float | None = None

    def hold(self, paused: bool) -> None:
        """The run is paused, or goes on; what it is already does no more."""
        if paused and self._held_since is None:
            self._held_since = self._clock()
        elif not paused and self._held_since is not None:
            self._held += self._clock() - self._held_since
            self._held_since = None

    def now(self) -> float:
        """Seconds; only the difference of two has a meaning."""
        return (self._clock() if self._held_since is None else self._held_since) - self._held
