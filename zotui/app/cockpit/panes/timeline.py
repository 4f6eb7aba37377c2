"""What happened when, on the same axis as the chart above it."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content
from textual.widget import Widget

from zotui.app.charts.plot import Plot
from zotui.app.state.marks import Mark

_SIGNS = {  # the later ones lie over the earlier
    "fold": ("·", "$quiet", "fold"),
    "evaluation": ("●", "$success", "eval"),
    "checkpoint": ("■", "$accent", "saved"),
    "resume": ("▶", "$primary", "on"),
    "pause": ("‖", "$warning", "pause"),
    "change": ("▲", "$warning", "change"),
    "return": ("◀", "$warning", "return"),
}
_LEAST = 3
"""Columns between two folds below which they would be a line, and say nothing."""


class Timeline(Widget):
    """A strip of signs. Hidden while there is nothing to show, or no room for it."""

    DEFAULT_CSS = """
    Timeline { height: 1; width: 1fr; background: $surface; }
    """

    def __init__(self, plot: Plot) -> None:
        super().__init__()
        self._plot = plot
        self._signs: dict[int, str] = {}  # by column
        self._shown: object = None

    def show(self, marks: Iterable[Mark], evaluations: Iterable[int], folds: int | None, done: int) -> None:
        """Put the signs where the plot shows their steps; costs nothing while they stay there."""
        signs: dict[int, str] = {}
        first, last, *_ = self._plot.ranges
        found = [(step, "evaluation") for step in evaluations] + [(mark.step, str(mark.kind)) for mark in marks]
        if folds and folds * self._plot.columns >= _LEAST * (last - first):
            begin = max(folds, -(-max(0, int(first)) // folds) * folds)
            found += [(step, "fold") for step in range(begin, min(done, int(last)) + 1, folds)]
        order = list(_SIGNS)
        for step, kind in found:
            if first <= step <= last:
                column = int((step - first) / (last - first) * self._plot.columns)
                if column not in signs or order.index(signs[column]) < order.index(kind):
                    signs[column] = kind
        if signs != self._signs:
            self._signs = signs
            self.refresh()

    def render(self) -> Content:
        """The signs at their columns."""
        indent = self.size.width - self._plot.columns - 1
        cells = [" "] * self._plot.columns
        parts: list[Content | tuple[str, str] | str] = [" " * max(0, indent)]
        for column in range(len(cells)):
            kind = self._signs.get(column)
            parts.append((_SIGNS[kind][0], _SIGNS[kind][1]) if kind else " ")
        return Content.assemble(*parts)

    def legend(self) -> Content:
        """What the signs that are shown mean."""
        kinds = set(self._signs.values())
        parts = [
            Content.assemble((sign, colour), f" {name}")
            for kind, (sign, colour, name) in _SIGNS.items()
            if kind in kinds
        ]
        return Content("  ").join(parts)
