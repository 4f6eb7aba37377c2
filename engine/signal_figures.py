"""Why does the loss not fall? Figures of a run's signal, and a verdict in plain words.

A pure function of the journal's scalars and of the noise that the engine measured at its start: no torch
in here, the app computes them too.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, NamedTuple

WINDOW = 50
"""Steps that 'now' and 'at the start' are medians over; half of the run while it is short."""

_LEAST = 20  # steps before anything is said
_HISTORY = 40  # points of the gradient's history at most
_CLEAR = 3.0  # times the noise, or the standard error: what counts as seen
_GROWN = 10.0  # times: gradients, or the loss, that have left where they began
_KEPT = 0.5


@dataclass(frozen=True)
class Verdict:
    """What the figures say: `problem`, with what to do about it where something is wrong."""

    kind: str
    problem: str
    remedy: str = ""

    @property
    def text(self) -> str:
        """One line."""
        return f"{self.problem}: {self.remedy}" if self.remedy else self.problem

    @property
    def wrong(self) -> bool:
        """Whether the run needs a hand."""
        return bool(self.remedy)


@dataclass(frozen=True)
class Figures:
    """What the steps say. Losses in nats, `None` for what is not known.

    step_size is the rms change of one weight entry in a step: lr |g| sqrt(rank), since an entry of
    Z = U V^T has variance rank. trend is what the loss changed by over the whole run, by least squares
    over its steps, and trend_error its standard error.
    """

    steps: int
    window: int
    difference: float  # median |L+ - L-|
    noise: float | None  # of that difference
    ratio: float | None  # difference / noise
    below_noise: float | None  # share of the window's steps whose difference is below the noise
    gradient: float  # median |projected gradient|
    gradient_at_start: float
    gradient_growth: float | None
    gradient_history: list[float]  # medians of consecutive windows, thinned to a few
    update_kept: float | None
    step_size: float | None
    loss: float  # mean
    loss_at_start: float
    trend: float | None
    trend_error: float | None
    verdict: Verdict


class _Point(NamedTuple):
    loss: float
    difference: float
    gradient: float
    lr: float


class Signal:
    """Takes a run's steps one by one, in constant memory short of one number every `WINDOW` steps.

    Attributes, which may be set late: noise, of the difference between the two losses, in nats; dtype of
    the model; rank of a direction.
    """

    def __init__(self, noise: float | None = None, dtype: str = "", rank: int | None = None) -> None:
        self.noise, self.dtype, self.rank = noise, dtype, rank
        self._first: list[_Point] = []
        self._last: deque[_Point] = deque(maxlen=WINDOW)
        self._history: list[float] = []
        self._kept: float | None = None
        self._line = _Line()

    def add(
        self,
        *,
        loss_plus: float = math.nan,
        loss_minus: float = math.nan,
        projected_grad: float = math.nan,
        lr: float = math.nan,
        update_kept: float | None = None,
        **others: Any,
    ) -> None:
        """Take a step, with the names that the journal has; one that is not all there, or not finite, is left out."""
        if update_kept is not None:
            self.kept(update_kept)
        # One sum for all, since a long run is read in one go: it is finite if they are, below 1e307.
        if not math.isfinite(loss_plus + loss_minus + projected_grad + lr):
            return
        point = _Point((loss_plus + loss_minus) / 2, abs(loss_plus - loss_minus), abs(projected_grad), lr)
        if len(self._first) < WINDOW:
            self._first.append(point)
        self._last.append(point)
        self._line.add(point.loss)
        if self._line.count % WINDOW == 0:
            self._history.append(median(point.gradient for point in self._last))

    def kept(self, share: float) -> None:
        """Take a newer figure of how much of the intended update there is."""
        self._kept = share

    def figures(self) -> Figures | None:
        """The figures up to now; None before the first step."""
        if not self._last:
            return None
        window = min(WINDOW, max(1, self._line.count // 2))
        first, last = self._first[:window], list(self._last)[-window:]
        difference = median(point.difference for point in last)
        gradient, before = (median(point.gradient for point in part) for part in (last, first))
        trend, error = self._line.change() if self._line.count >= _LEAST else (None, None)
        found = {
            "steps": self._line.count,
            "window": window,
            "difference": difference,
            "noise": self.noise,
            "ratio": difference / self.noise if self.noise else None,
            "below_noise": None if self.noise is None else fmean(p.difference < self.noise for p in last),
            "gradient": gradient,
            "gradient_at_start": before,
            "gradient_growth": gradient / before if before else None,
            "gradient_history": _thinned(self._history),
            "update_kept": self._kept,
            "step_size": None if self.rank is None else _rms([p.lr * p.gradient for p in last]) * math.sqrt(self.rank),
            "loss": fmean(point.loss for point in last),
            "loss_at_start": fmean(point.loss for point in first),
            "trend": trend,
            "trend_error": error,
        }
        return Figures(**found, verdict=_verdict(**found, dtype=self.dtype))  # type: ignore[arg-type]


def _verdict(
    *,
    steps: int,
    dtype: str,
    ratio: float | None,
    gradient_growth: float | None,
    update_kept: float | None,
    loss: float,
    loss_at_start: float,
    trend: float | None,
    trend_error: float | None,
    **others: Any,
) -> Verdict:
    """The most severe of what is wrong, else whether the loss falls."""
    if trend is None or trend_error is None:
        return Verdict("early", f"too early to tell after {steps} steps")
    wider = "raise eps" if dtype == "float32" else "raise eps or use float32"
    if loss > _GROWN * loss_at_start and loss > loss_at_start + 1:
        problem = f"the run diverges, the loss has grown {loss / loss_at_start:.0f}-fold"
        return Verdict("diverged", problem, "lower the learning rate")
    if ratio is not None and ratio < 1:
        return Verdict("noise", "the difference between the two losses is below the noise", wider)
    if update_kept is not None and update_kept < _KEPT:
        remedy = "use model.fold=residual or float32"
        return Verdict("rounding", f"updates are lost in rounding (update kept {update_kept:.0%})", remedy)
    if gradient_growth is not None and gradient_growth > _GROWN:
        return Verdict("gradients", f"gradients have grown {gradient_growth:.0f}-fold", "lower the learning rate")
    if trend > _CLEAR * trend_error:
        return Verdict("rises", "the loss rises", "lower the learning rate")
    if ratio is not None and ratio < _CLEAR:
        problem = f"the difference between the two losses is hardly above the noise ({ratio:.1f} times)"
        return Verdict("faint", problem, wider)
    if -trend > _CLEAR * trend_error:
        return Verdict("falls", "the loss does fall")
    return Verdict("patience", "nothing stands in the way; zeroth-order steps are small and many: go on")


class _Line:
    """A straight line through the losses by least squares, over the steps 0, 1, 2, ... (Welford's updates)."""

    def __init__(self) -> None:
        self.count = 0
        self._x = self._y = self._xx = self._xy = self._yy = 0.0

    def add(self, value: float) -> None:
        """The loss of the next step."""
        self.count += 1
        x, y = self.count - 1 - self._x, value - self._y
        self._x += x / self.count
        self._y += y / self.count
        left = value - self._y
        self._xx += x * (self.count - 1 - self._x)
        self._xy += x * left
        self._yy += y * left

    def change(self) -> tuple[float, float]:
        """How far the line rises from the first step to the last, and the standard error of that."""
        slope, span = self._xy / self._xx, self.count - 1
        left = max(0.0, self._yy - slope * self._xy) / (self.count - 2)
        return slope * span, math.sqrt(left / self._xx) * span


def _rms(values: Sequence[float]) -> float:
    return math.sqrt(fmean(value * value for value in values))


def _thinned(values: list[float]) -> list[float]:
    """At most `_HISTORY` of them, evenly spread, the newest among them."""
    every = max(1, -(-len(values) // _HISTORY))
    return values[(len(values) - 1) % every :: every]
