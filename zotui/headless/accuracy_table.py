"""The table of a bench to accuracy, as plain text or as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zotui.headless.time_to_mark import Figures, Outcome, Over, Result
from zotui.text import numbers

_HEAD = (
    *("method", "reached", "steps", "tokens", "mean", "95% interval", "fewer"),
    *("training", "mean", "95% interval", "faster", "evaluations", "whole", "accuracy"),
)
_NOTES = (
    "Until the first evaluation at the mark or below: nothing is interpolated. Figures are medians over seeds, a run",
    "that did not reach it being infinitely dear; means and intervals (Student's t) are of all seeds, or not given.",
    "training: the steps alone; whole: with start-up and evaluations; fewer, faster: than the mark, by the medians.",
    "tokens: those that were scored; the training loop scores a prompt once for every option, vllm once.",
)
_WORDS = {
    "diverged": "diverged",
    "failed": "failed",
    "budget": "ran out of its budget",
    "end": "took all of its steps",
    "unfinished": "did not finish",
}


def lines(result: Result) -> list[str]:
    """The report for a terminal."""
    rows = [_HEAD, *map(_row, result.figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [_aligned(row, widths) for row in rows]
    return ["", _mark(result), "", *table, "", *_missed(result.runs), *_NOTES]


def markdown(result: Result) -> list[str]:
    """The same for a document."""
    rows = [_HEAD, ("---",) * len(_HEAD), *map(_row, result.figures)]
    table = [f"| {' | '.join(row)} |" for row in rows]
    return [_mark(result), "", *table, "", *(f"- {line}" for line in _missed(result.runs))]


def _mark(result: Result) -> str:
    beside = "" if result.accuracy is None else f" (accuracy {numbers.accuracy(result.accuracy)})"
    text = f"mark: validation loss {numbers.loss(result.mark.loss)}{beside}"
    if result.by is None or result.after is None:
        return text
    seeds = ", ".join(map(str, result.figures[0].seeds))
    return f"{text}, of {result.by} after {numbers.count(result.after)} steps, mean over seeds {seeds}"


def _row(one: Figures) -> tuple[str, ...]:
    return (
        one.method,
        f"{len(one.reached)} of {len(one.seeds)}",
        _median(one.steps, numbers.count),
        *_all_of(one.tokens, numbers.count),
        _times(one.fewer_tokens),
        *_all_of(one.training, numbers.span),
        _times(one.less_time),
        _median(one.evaluations, numbers.span),
        _median(one.whole, numbers.span),
        _median(one.accuracy, numbers.accuracy),
    )


def _all_of(over: Over, written: Callable[[float], str]) -> tuple[str, str, str]:
    mean, interval = numbers.NOTHING, numbers.NOTHING
    if over.spread is not None:
        mean = written(over.spread.mean)
        if over.spread.ci95 is not None:
            interval = " to ".join(_end(end, written) for end in over.spread.ci95)
    return _median(over, written), mean, interval


def _end(value: float, written: Callable[[float], str]) -> str:
    return f"-{written(-value)}" if value < 0 else written(value)


def _median(over: Over, written: Callable[[float], str]) -> str:
    return numbers.NOTHING if over.median is None else written(over.median)


def _times(value: float | None) -> str:
    return numbers.NOTHING if value is None else f"{value:.2f}x"


def _missed(runs: Sequence[Outcome]) -> list[str]:
    """A line for every run that did not reach the mark."""
    return [
        f"{one.method}, seed {one.seed}: {_WORDS[one.standing]}"
        + ("" if one.best_loss is None else f", at best {numbers.loss(one.best_loss)}")
        + (f" ({one.error})" if one.error else "")
        for one in runs
        if one.cost is None
    ]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = zip(row, widths, strict=True)
    return "  ".join(cell.rjust(w) if n else cell.ljust(w) for n, (cell, w) in enumerate(cells)).rstrip()
