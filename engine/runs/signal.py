"""Why does the loss not fall? Figures of a run's signal, and a verdict in plain words.

A pure function of the journal's scalars and of the noise that the engine measured at its start: no torch
in here, the app computes them too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.preset.method import Method
from engine.protocol.events import Step

WINDOW = 50
"""Steps that 'now' and 'at the start' are medians over; half of the run while it is short."""

Numbers = NDArray[np.float64]

_BATCH = 1000  # steps that are taken at once
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

    step_size is the rms change of one weight entry in a step, where a step is lr g Z with entries of Z of one variance:
    lr |g| sqrt(variance). trend is what the loss changed by over the whole run, by least squares
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


def entry_variance(method: Method) -> float | None:
    """Of an entry of Z, where a step of the method is lr g Z; None where it is of another size.

    An entry of U V^T has the variance rank, or 1 where that is divided by its root. Over an orthonormal basis it
    depends on the matrix, several directions do not add up to the mean of their gradients, and other rules than plain
    descent have sizes of their own.
    """
    plain = method.update == "sgd" and method.weights == "plain" and (method.queries, method.shards) == (1, 1)
    if method.direction != "low-rank" or not plain:
        return None
    return 1.0 if method.normalise == "rms" else float(method.rank)


class Signal:
    """Takes a run's steps, in constant memory short of one number every `WINDOW` steps.

    Attributes, which may be set late: noise, of the difference between the two losses, in nats; dtype of
    the model; variance of an entry of a direction (`entry_variance`).
    """

    def __init__(self, noise: float | None = None, dtype: str = "", variance: float | None = None) -> None:
        self.noise, self.dtype, self.variance = noise, dtype, variance
        self._new: list[tuple[float, float, float, float]] = []
        self._first, self._last = np.empty((0, 4)), np.empty((0, 4))  # L+, L-, projected gradient, learning rate
        self._history: list[float] = []
        self._kept: float | None = None
        self._line = _Line()

    def add(self, step: Step) -> None:
        """Take a step; one that is not all there, or not finite, is left out."""
        if step.update_kept is not None:
            self.kept(step.update_kept)
        self._new.append((step.loss_plus, step.loss_minus, step.projected_grad, step.lr))
        if len(self._new) >= _BATCH:
            self._settle()

    def extend(self, loss_plus: Numbers, loss_minus: Numbers, projected_grad: Numbers, lr: Numbers) -> None:
        """Take many steps at once, shape (steps,) each; as `add` does."""
        self._settle()
        self._take(np.stack([loss_plus, loss_minus, projected_grad, lr], axis=1))

    def kept(self, share: float) -> None:
        """Take a newer figure of how much of the intended update there is."""
        self._kept = share

    def _settle(self) -> None:
        if self._new:
            new, self._new = self._new, []
            self._take(np.array(new, float))

    def _take(self, steps: Numbers) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            steps = steps[np.isfinite(steps.sum(axis=1))]  # of what is not too large to reckon with, either
        self._first = np.concatenate([self._first, steps[: WINDOW - len(self._first)]])
        recent = np.concatenate([self._last, steps])
        begin = len(self._last) - self._line.count % WINDOW  # of the first window that was not whole before
        windows = np.abs(recent[begin : begin + (len(recent) - begin) // WINDOW * WINDOW, 2]).reshape(-1, WINDOW)
        self._history += np.median(windows, axis=1).tolist()
        self._last = recent[-WINDOW:]
        self._line.extend((steps[:, 0] + steps[:, 1]) / 2)

    def figures(self) -> Figures | None:
        """The figures up to now; None before the first step."""
        self._settle()
        if not len(self._last):
            return None
        window = min(WINDOW, max(1, self._line.count // 2))
        first, last = self._first[:window], self._last[-window:]
        differences = np.abs(last[:, 0] - last[:, 1])
        difference = float(np.median(differences))
        gradient, before = (float(np.median(np.abs(part[:, 2]))) for part in (last, first))
        trend, error = self._line.change() if self._line.count >= _LEAST else (None, None)
        step_sizes = last[:, 3] * last[:, 2]
        found = {
            "steps": self._line.count,
            "window": window,
            "difference": difference,
            "noise": self.noise,
            "ratio": difference / self.noise if self.noise else None,
            "below_noise": None if self.noise is None else float(np.mean(differences < self.noise)),
            "gradient": gradient,
            "gradient_at_start": before,
            "gradient_growth": gradient / before if before else None,
            "gradient_history": _thinned(self._history),
            "update_kept": self._kept,
            "step_size": None if self.variance is None else math.sqrt(float(np.mean(step_sizes**2)) * self.variance),
            "loss": float(np.mean(last[:, :2])),
            "loss_at_start": float(np.mean(first[:, :2])),
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
    **others: object,
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
    return Verdict("patience", "nothing stands in the way; zeroth-order steps are small and many")


class _Line:
    """A straight line through the losses by least squares, over the steps 0, 1, 2, ...

    Means and sums of squares of two parts are put together as in Chan, Golub, LeVeque (1979), equation 2.1.
    """

    def __init__(self) -> None:
        self.count = 0
        self._x = self._y = self._xx = self._xy = self._yy = 0.0

    def extend(self, losses: Numbers) -> None:
        """The losses of the next steps, shape (steps,)."""
        count = len(losses)
        if not count:
            return
        x = np.arange(count) - (count - 1) / 2
        mean = float(losses[0] + np.mean(losses - losses[0]))  # exact where they are all the same
        y = losses - mean
        beyond, apart = self.count + (count - 1) / 2 - self._x, mean - self._y
        whole = self.count + count
        weight = self.count * count / whole
        self._xx += float(np.sum(x * x)) + beyond * beyond * weight
        self._xy += float(np.sum(x * y)) + beyond * apart * weight
        self._yy += float(np.sum(y * y)) + apart * apart * weight
        self._x += beyond * count / whole
        self._y += apart * count / whole
        self.count = whole

    def change(self) -> tuple[float, float]:
        """How far the line rises from the first step to the last, and the standard error of that."""
        slope, span = self._xy / self._xx, self.count - 1
        left = max(0.0, self._yy - slope * self._xy) / (self.count - 2)
        return slope * span, math.sqrt(left / self._xx) * span


def _thinned(values: list[float]) -> list[float]:
    """At most `_HISTORY` of them, evenly spread, the newest among them."""
    every = max(1, -(-len(values) // _HISTORY))
    return values[(len(values) - 1) % every :: every]
