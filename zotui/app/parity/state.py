"""What a screen knows of a comparison: both curves, how far apart they are, and how it ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from zotui.app.charts.series import Series
from zotui.app.state.eta import Pace
from zotui.app.state.feed import Ended
from zotui.commands.parity import StepTimes


class Compared:
    """The rows so far, as series that stay small, and their figures."""

    def __init__(self, tolerance: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.tolerance = tolerance
        self.pace = Pace(clock)
        self.times = StepTimes()
        self.ours = Series()
        self.theirs = Series()
        self.apart = Series()
        self.done = 0
        self.steps = 0  # that it will be; 0 until it is known
        self.largest = 0.0  # difference of a loss
        self.largest_at = 0
        self.beyond = 0  # steps
        self.first_beyond: int | None = None
        self.same_sign = 0  # steps
        self.summary: dict[str, Any] | None = None
        self.code: int | None = None  # once it has ended

    def apply(self, item: dict[str, Any] | Ended) -> None:
        """Take what the comparison said."""
        if isinstance(item, Ended):
            self.code = item.code
            self.pace.end()
        elif item["type"] == "row":
            self._row(item)
        else:
            self.summary = item

    @property
    def failed(self) -> bool:
        """Whether it ended without an answer."""
        return self.code is not None and self.summary is None

    def is_beyond(self, apart: float) -> bool:
        """Whether a difference is too large."""
        return not apart <= self.tolerance

    def _row(self, row: dict[str, Any]) -> None:
        step = row["step"]
        # What is not finite is null in JSON.
        apart = math.inf if row["loss_diff"] is None else row["loss_diff"]
        self.done, self.steps = step + 1, row["steps"]
        self.pace.step(step)
        self.times.add(row)
        for series, side in ((self.ours, ""), (self.theirs, "reference_")):
            plus, minus = row[f"{side}loss_plus"], row[f"{side}loss_minus"]
            series.add(step, math.nan if plus is None or minus is None else (plus + minus) / 2)
        self.apart.add(step, apart)
        if apart > self.largest:
            self.largest, self.largest_at = apart, step
        if self.is_beyond(apart):
            self.beyond += 1
            if self.first_beyond is None:
                self.first_beyond = step
        self.same_sign += row["same_sign"]
