"""Points and lines as braille characters, two dots wide and four high, many at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from zotui.app.charts.series import Numbers

_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint16)  # of a cell's dots


class Dots:
    """A drawing of so many cells; coordinates are in cells, from the upper left."""

    def __init__(self, width: int, height: int) -> None:
        self._dots: NDArray[np.bool_] = np.zeros((4 * height, 2 * width), bool)

    def points(self, x: Numbers, y: Numbers) -> None:
        """A dot for each."""
        column, row = np.floor(2 * x), np.floor(4 * y)
        inside = (column >= 0) & (column < self._dots.shape[1]) & (row >= 0) & (row < self._dots.shape[0])
        self._dots[row[inside].astype(int), column[inside].astype(int)] = True

    def line(self, x: Numbers, y: Numbers) -> None:
        """A line through points of increasing x, without a gap in any column."""
        width = self._dots.shape[1]
        first, last = max(0, int(np.floor(2 * x[0]))), min(width - 1, int(np.floor(2 * x[-1])))
        if first > last:
            return
        edges = np.clip(np.arange(first, last + 2) / 2, x[0], x[-1])
        height = np.interp(edges, x, y)
        low, high = np.minimum(height[:-1], height[1:]), np.maximum(height[:-1], height[1:])
        column = np.floor(2 * x).astype(int) - first  # a peak inside a column is part of it
        inside = (column >= 0) & (column < len(low))
        np.minimum.at(low, column[inside], y[inside])
        np.maximum.at(high, column[inside], y[inside])
        rows = np.arange(self._dots.shape[0])[:, None]
        self._dots[:, first : last + 1] |= (rows >= np.floor(4 * low)) & (rows <= np.floor(4 * high))

    def cells(self) -> Iterator[tuple[int, int, str]]:
        """Column, row and character of every cell that is not empty."""
        height, width = self._dots.shape
        parts = self._dots.reshape(height // 4, 4, width // 2, 2).transpose(0, 2, 1, 3)
        codes = (parts * _BITS).sum((2, 3))
        for row, column in zip(*np.nonzero(codes), strict=True):
            yield int(column), int(row), chr(0x2800 + int(codes[row, column]))
