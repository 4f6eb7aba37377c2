"""The numbers of a run as columns over its steps, read once and then followed as they grow."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Literal, get_args

from engine.errors import UserError
from engine.runs.directory import RunDir
from engine.runs.journal import LineReader, misplaced

Axis = Literal["step", "seconds", "tokens"]
"""What a curve stands over; seconds are those of the steps alone, and tokens those that they scored."""

AXES: tuple[Axis, ...] = get_args(Axis)

COLUMNS = (
    *("step", "loss", "loss_plus", "loss_minus", "projected_grad", "lr", "eps"),
    *("tokens", "seconds", "tokens_per_s", "total_tokens", "total_seconds", "update_kept", "update_cosine"),
)
"""Of every step; seconds are measured, and the totals run up to the end of the step."""

AT_START = 10
"""Steps that the smoothed loss at the start is of: one of them alone says little."""

_READ = (
    *("loss_plus", "loss_minus", "projected_grad", "lr", "eps", "tokens", "seconds"),
    *("update_kept", "update_cosine"),
)
"""The columns that are in the journal; the others follow from them."""

_UNITS: dict[Axis, list[tuple[float, str]]] = {
    "tokens": [
        (1e9, "tokens scored, billions"),
        (1e6, "tokens scored, millions"),
        (1e3, "tokens scored, thousands"),
        (1.0, "tokens scored"),
    ],
    "seconds": [
        (3600.0, "time of the steps, hours"),
        (60.0, "time of the steps, minutes"),
        (1.0, "time of the steps, seconds"),
    ],
    "step": [(1.0, "steps")],
}


class Columns:
    """What the journal and the evaluations of one run hold. What a step does not tell is nan.

    Attributes: evaluations, of the validation split in the order of their steps; fault, why the rest of the records
    cannot be read, or nothing.
    """

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self._begin()

    def _begin(self) -> None:
        self._journal = LineReader(self.run.journal_file, dict[str, Any])
        self._evaluations = LineReader(self.run.evaluations_file, dict[str, Any])
        self._columns = {name: array("d") for name in _READ}
        self._appends = [(name, self._columns[name].append) for name in _READ]
        self._derived: dict[str, Sequence[float]] = {}
        self.evaluations: list[dict[str, Any]] = []
        self.fault = ""

    def refresh(self) -> bool:
        """Read what was added since; whether there was anything."""
        if self.fault:
            return False
        before = len(self), len(self.evaluations)
        try:
            self._read()
        except UserError:  # perhaps an engine has cut off a torn end that was half read here: from the start, then
            self._begin()
            try:
                self._read()
            except UserError as error:
                self.fault = str(error)
        return (len(self), len(self.evaluations)) != before or bool(self.fault)

    def _read(self) -> None:
        try:
            for record in self._journal.more():
                self.add(record)
            for record in self._evaluations.more():
                self.add_evaluation(record)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise UserError(
                f"{self.run.path}: its records hold a line that is none of a run; they are damaged"
            ) from None

    def add(self, record: dict[str, Any]) -> None:
        """Take a line of the journal. Raises `UserError` unless it is the next step."""
        number = len(self)
        if record["step"] != number:
            raise misplaced(self.run.journal_file, number)
        for name, append in self._appends:
            append(_number(record.get(name)))

    def column(self, name: str) -> Sequence[float]:
        """One of `COLUMNS`."""
        if name in self._columns:
            return self._columns[name]
        found = self._derived.get(name, ())
        if len(found) != len(self):
            found = self._derived[name] = self._derive(name)
        return found

    def _derive(self, name: str) -> Sequence[float]:
        if name == "step":
            return range(len(self))
        if name == "loss":
            pairs = zip(self._columns["loss_plus"], self._columns["loss_minus"], strict=True)
            return array("d", [(plus + minus) / 2 for plus, minus in pairs])
        if name == "tokens_per_s":
            steps = zip(self._columns["tokens"], self._columns["seconds"], strict=True)
            return array("d", [tokens / seconds if seconds > 0 else math.nan for tokens, seconds in steps])
        parts = self._columns[name.removeprefix("total_")]
        return array("d", accumulate(0.0 if math.isnan(part) else part for part in parts))

    def add_evaluation(self, record: dict[str, Any]) -> None:
        """Take a line of the evaluations; those of other splits are passed over."""
        if record.get("split", "validation") != "validation":
            return
        step = int(record["step"])
        if not 0 <= step < 2**53:
            raise ValueError("not a step")
        metrics = {str(name): _number(value) for name, value in record["metrics"].items()}
        self.evaluations.append({**record, "step": step, "metrics": metrics})
        self.evaluations.sort(key=lambda taken: taken["step"])

    def __len__(self) -> int:
        """How many steps there are."""
        return len(self._columns["seconds"])

    @property
    def metrics(self) -> list[str]:
        """What the evaluations measured, accuracy first."""
        names = {name for taken in self.evaluations for name in taken["metrics"]}
        return sorted(names, key=lambda name: (name != "accuracy", name != "loss", name))

    def over(self, axis: Axis) -> Sequence[float]:
        """Where each step lies: its number, or the seconds or tokens until its end."""
        return self.column("step" if axis == "step" else f"total_{axis}")

    def place(self, steps_done: int, axis: Axis) -> float:
        """Where the end of so many steps lies on an axis."""
        if axis == "step" or not steps_done:
            return float(steps_done)
        reached = self.column(f"total_{axis}")
        return reached[min(steps_done, len(reached)) - 1] if reached else 0.0

    def measured(self, metric: str, axis: Axis) -> tuple[list[float], list[float]]:
        """A metric of the evaluations, and where on an axis they were taken."""
        taken = [one for one in self.evaluations if math.isfinite(one["metrics"].get(metric, math.nan))]
        return [self.place(one["step"], axis) for one in taken], [one["metrics"][metric] for one in taken]


def axis_unit(axis: Axis, reached: float) -> tuple[float, str]:
    """What an axis that goes that far is best divided by, and its name with the unit."""
    return next(((size, name) for size, name in _UNITS[axis] if reached >= 2 * size), _UNITS[axis][-1])


def smoothing_span(steps: int) -> int:
    """Over about how many steps the loss is smoothed: a twentieth of the run, within bounds."""
    return max(10, min(200, steps // 20))


class RunningMean:
    """The mean over about `span` values: exponential, unbiased from the first on; a span of 1 leaves them."""

    def __init__(self, span: float) -> None:
        self._retain = 1.0 - 2.0 / (span + 1)
        self._sum = self._weight = 0.0

    @property
    def value(self) -> float:
        """The mean so far; nan before the first finite value."""
        return self._sum / self._weight if self._weight else math.nan

    def extend(self, values: Iterable[float]) -> None:
        """Take values; what is not finite is passed over. As `add` does it, only that there may be very many."""
        kept, total, weight = self._retain, self._sum, self._weight
        for value in values:
            if math.isfinite(value):
                total, weight = kept * total + (1.0 - kept) * value, kept * weight + (1.0 - kept)
        self._sum, self._weight = total, weight

    def add(self, value: float, count: float = 1.0) -> float:
        """Take a value, or the mean of `count` of them, and return the mean; what is not finite is passed over."""
        if count and math.isfinite(value):
            kept = self._retain**count
            self._sum, self._weight = kept * self._sum + (1.0 - kept) * value, kept * self._weight + (1.0 - kept)
        return self.value


def smoothed(values: Sequence[float], span: float) -> list[float]:
    """The running mean at every value; see `RunningMean`."""
    mean = RunningMean(span)
    return [mean.add(value) for value in values]


def thinned(
    x: Sequence[float], y: Sequence[float], most: int, between: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[list[float], list[float]]:
    """At most about `most` evenly spread points of those that lie `between`, always with the newest; x ascends."""
    first, last = max(0, bisect_left(x, between[0]) - 1), min(len(x), bisect_left(x, between[1]) + 1)
    every = max(1, -(-(last - first) // max(1, most)))
    chosen = range(last - 1, first - 1, -every)[::-1]
    kept = [place for place in chosen if math.isfinite(y[place])]
    return [x[place] for place in kept], [y[place] for place in kept]


def _number(value: Any) -> float:
    """A number of the records; what is none there, or too large for one, is nan."""
    if type(value) is float:  # nearly all are, and there are many
        return value
    try:
        return float(value) if isinstance(value, int) else math.nan
    except OverflowError:
        return math.nan
