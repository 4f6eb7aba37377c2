"""A series of losses that stays small however long the run is."""

from __future__ import annotations

import math


class LossSeries:
    """Raw losses and their running mean over steps, thinned to at most `capacity` points.

    Once full, every other point is dropped and only every second step is kept from then on, so
    that a run of any length is spread evenly over its points. The mean is fed with every step.
    """

    def __init__(self, span: int = 50, capacity: int = 2048) -> None:
        self.capacity = capacity
        self.stride = 1
        self.x: list[int] = []
        self.raw: list[float] = []
        self.smooth: list[float] = []
        self._retain = 1.0 - 2.0 / (span + 1)
        self._sum = 0.0
        self._weight = 0.0
        self._seen = 0

    def add(self, step: int, value: float) -> None:
        """Take one step's loss; what is not finite leaves a gap."""
        if not math.isfinite(value):
            return
        self._sum = self._retain * self._sum + (1.0 - self._retain) * value
        self._weight = self._retain * self._weight + (1.0 - self._retain)
        if self._seen % self.stride == 0:
            if len(self.x) >= self.capacity:
                self._thin()
            self.x.append(step)
            self.raw.append(value)
            self.smooth.append(self.mean or 0.0)
        self._seen += 1

    @property
    def mean(self) -> float | None:
        """The running mean now: exponential, unbiased from the first step on."""
        return self._sum / self._weight if self._weight else None

    def points(self, most: int) -> tuple[list[int], list[float], list[float]]:
        """At most `most` evenly spread points (steps, raw, smooth), always with the newest."""
        every = max(1, -(-len(self.x) // max(1, most)))
        newest = (len(self.x) - 1) % every if self.x else 0
        chosen = slice(newest, None, every)
        return self.x[chosen], self.raw[chosen], self.smooth[chosen]

    def forget_from(self, step: int) -> None:
        """Drop the steps from `step` on: a resumed engine is about to take them again."""
        keep = next((i for i, x in enumerate(self.x) if x >= step), len(self.x))
        if keep == len(self.x):
            return
        del self.x[keep:], self.raw[keep:], self.smooth[keep:]
        self._sum, self._weight = (self.smooth[-1], 1.0) if self.smooth else (0.0, 0.0)
        self._seen = keep * self.stride

    def _thin(self) -> None:
        del self.x[1::2], self.raw[1::2], self.smooth[1::2]
        self.stride *= 2


class PeakSeries:
    """Values over steps, thinned to at most `capacity` points of which each is the largest around it."""

    def __init__(self, capacity: int = 2048) -> None:
        self.capacity = capacity
        self.stride = 1
        self._points: list[tuple[int, float]] = []
        self._seen = 0

    def add(self, step: int, value: float) -> None:
        """Take one step's value; infinity is one, too."""
        if self._seen % self.stride:
            self._points[-1] = max(self._points[-1], (step, value), key=_value)
        else:
            if len(self._points) >= self.capacity:
                self._points = _peaks(self._points, 2)
                self.stride *= 2
            self._points.append((step, value))
        self._seen += 1

    def points(self, most: int) -> list[tuple[int, float]]:
        """At most `most` points (step, value), and the largest value among them."""
        return _peaks(self._points, max(1, -(-len(self._points) // max(1, most))))


def _peaks(points: list[tuple[int, float]], every: int) -> list[tuple[int, float]]:
    return [max(points[start : start + every], key=_value) for start in range(0, len(points), every)]


def _value(point: tuple[int, float]) -> float:
    return point[1]
