"""A series of numbers over steps that stays small however long the run is."""

from __future__ import annotations

import math
from copy import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zotui.runs.curves import RunningMean

Numbers = NDArray[np.float64]

_X, _LOW, _HIGH, _SUM, _COUNT = range(5)  # rows of a series: first step, extremes, sum and count of finite values


class Points(NamedTuple):
    """Stretches of a series in the order of their steps."""

    x: Numbers  # first step
    low: Numbers
    high: Numbers
    mean: Numbers
    last: NDArray[np.intp]  # which point of the smoothed series each ends with


class Series:
    """Values over steps as at most `capacity` points, each with the extremes and the mean of `stride` values.

    Once full, neighbours are joined, so that a run of any length is spread evenly over its points and no peak is
    ever lost. What is not a number leaves a gap; infinity is an extreme, and no part of a mean.
    """

    def __init__(self, capacity: int = 4096) -> None:
        self.capacity = capacity
        self.stride = 1
        self.taken = 0  # values, for those who want to know whether there are more
        self._rows = np.zeros((5, capacity))
        self._size = 0  # points
        self._filled = 0  # values in the last of them
        self._smoothed = _Smoothed(0, 1)

    def add(self, step: int, value: float) -> None:
        """Take one step's value."""
        self.extend([step], [value])

    def extend(self, steps: ArrayLike, values: ArrayLike) -> None:
        """Take the values of steps, in their order."""
        x, y = np.asarray(steps, float), np.asarray(values, float)
        known = ~np.isnan(y)
        x, y = (x, y) if known.all() else (x[known], y[known])
        self.taken += len(x)
        while len(x):
            if self._filled == self.stride and self._size == self.capacity:
                self._join()
            room = (self.capacity - self._size) * self.stride + (self.stride - self._filled if self._size else 0)
            self._take(x[:room], y[:room])
            x, y = x[room:], y[room:]

    @property
    def x(self) -> list[int]:
        """The first step of every point."""
        return [int(step) for step in self._rows[_X, : self._size]]

    @property
    def means(self) -> list[float]:
        """The mean of every point; while `stride` is 1, the values."""
        return list(_mean(self._rows[:, : self._size]))

    def smooth(self, span: int) -> list[float]:
        """The running mean over about `span` steps at every point: exponential, unbiased from the first on."""
        if (self._smoothed.span, self._smoothed.stride) != (span, self.stride):
            self._smoothed = _Smoothed(span, self.stride)
        whole = self._size - (self._filled < self.stride)
        rows = self._rows[:, : self._size]
        return self._smoothed.of(_mean(rows), rows[_COUNT], whole)

    def points(self, most: int, first: float = -math.inf, last: float = math.inf) -> Points:
        """At most about `most` points that hold the steps from `first` to `last`, and their neighbours."""
        x = self._rows[_X, : self._size]
        begin = max(0, int(np.searchsorted(x, first, "right")) - 2)
        end = min(self._size, int(np.searchsorted(x, last, "right")) + 1)
        every = max(1, -(-(end - begin) // max(1, most)))
        begin -= begin % every  # the same stretches wherever the view begins: a curve that moves does not flicker
        starts = np.arange(begin, end, every)
        if not len(starts):
            return Points(x[:0], x[:0], x[:0], x[:0], starts)
        rows = _joined(self._rows[:, begin:end], starts - begin)
        ends = np.minimum(starts + every, end) - 1
        return Points(rows[_X], rows[_LOW], rows[_HIGH], _mean(rows), ends)

    def _take(self, x: Numbers, y: Numbers) -> None:
        """Put values into points for which there is room."""
        finite = np.isfinite(y)
        fresh = np.stack([x, y, y, np.where(finite, y, 0.0), finite])
        head = self.stride - self._filled if self._size else 0
        if head:  # the last point is not full
            last, joining = self._size - 1, fresh[:, :head]
            both = np.concatenate([self._rows[:, last : last + 1], joining], axis=1)
            self._rows[:, last] = _joined(both, np.zeros(1, np.intp))[:, 0]
            self._filled += joining.shape[1]
            fresh = fresh[:, head:]
        count = fresh.shape[1]
        if count:
            starts = np.arange(0, count, self.stride)
            self._rows[:, self._size : self._size + len(starts)] = _joined(fresh, starts)
            self._size += len(starts)
            self._filled = count - int(starts[-1])

    def _join(self) -> None:
        joined = _joined(self._rows[:, : self._size], np.arange(0, self._size, 2))
        self._filled = self.stride * (1 if self._size % 2 else 2)
        self._size = joined.shape[1]
        self._rows[:, : self._size] = joined
        self.stride *= 2


class _Smoothed:
    """The running mean at points that will not change any more, so that only new ones cost anything."""

    def __init__(self, span: int, stride: int) -> None:
        self.span, self.stride = span, stride
        self._known: list[float] = []
        self._mean = RunningMean(span)

    def of(self, means: Numbers, counts: Numbers, whole: int) -> list[float]:
        """At every point, of which the first `whole` are complete."""
        done = len(self._known)
        self._known += _running(self._mean, means[done:whole], counts[done:whole])
        return self._known + _running(copy(self._mean), means[whole:], counts[whole:])


def _running(mean: RunningMean, values: Numbers, counts: Numbers) -> list[float]:
    return [mean.add(value, count) for value, count in zip(values.tolist(), counts.tolist(), strict=True)]


def _joined(rows: Numbers, starts: NDArray[np.intp]) -> Numbers:
    """Every stretch that begins at one of `starts` as one point."""
    return np.stack(
        [
            rows[_X, starts],
            np.minimum.reduceat(rows[_LOW], starts),
            np.maximum.reduceat(rows[_HIGH], starts),
            np.add.reduceat(rows[_SUM], starts),
            np.add.reduceat(rows[_COUNT], starts),
        ]
    )


def _mean(rows: Numbers) -> Numbers:
    """Of the finite values of every point; not a number where there are none."""
    return np.divide(rows[_SUM], rows[_COUNT], out=np.full(rows.shape[1], math.nan), where=rows[_COUNT] > 0)
