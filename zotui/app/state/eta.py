"""How long a run has taken and may still take."""

from __future__ import annotations

from collections.abc import Callable

from engine.runs.timing import WorkClock


class Pace:
    """Elapsed time, and an estimate of what is left from the steps that this engine took."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """An engine starts now."""
        self._at_work = WorkClock(self._clock)
        self._began = self._at_work.now()
        self._ended: float | None = None
        self._first: tuple[int, float] | None = None  # a step, and what had elapsed at its end
        self._last = 0

    def began_before(self, seconds: float) -> None:
        """The engine was at work for `seconds` already, as it says itself."""
        self._began -= max(0.0, seconds - self.elapsed())

    def step(self, step: int) -> None:
        """A step was taken."""
        if self._first is None:
            self._first = (step, self.elapsed())
        self._last = step

    def hold(self, paused: bool) -> None:
        """The run is paused, or goes on: the clock stands for as long as a pause."""
        self._at_work.hold(paused)

    def end(self) -> None:
        """The engine ended: the clock stands."""
        self._ended = self._at_work.now()

    def elapsed(self) -> float:
        """Seconds since the engine was started, without its pauses."""
        return (self._at_work.now() if self._ended is None else self._ended) - self._began

    def remaining(self, steps: int) -> float | None:
        """An estimate of the seconds left of a run of `steps` steps; None before two steps."""
        if self._first is None or self._last <= self._first[0]:
            return None
        worked = self.elapsed() - self._first[1]
        return max(0.0, worked / (self._last - self._first[0]) * (steps - 1 - self._last))
