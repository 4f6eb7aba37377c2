"""Several runs side by side: what they were set to, and what came of it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.errors import UserError
from engine.runs.best import by_weight, only_harm
from engine.runs.changes import Changes
from engine.runs.directory import RunDir
from engine.runs.timing import time_spent
from engine.runs.usage import together
from zotui.runs.curves import Columns, smoothing_span
from zotui.text import numbers

_RESOLVED = ("runtime", "device", "dtype")
"""What a preset may leave to be chosen, as run.json has it."""


@dataclass(frozen=True)
class Best:
    """The evaluation that `engine.runs.best` chooses, and the seconds of the steps until it."""

    step: int
    metrics: dict[str, float]
    seconds: float
    only_harm: bool  # it is that before training, and there are others


@dataclass(frozen=True)
class Result:
    """What came of a run so far. Losses are nats; None is not known.

    `loss` is smoothed up to the last step, `loss_at_start` over the first ten.
    """

    name: str
    path: str
    standing: str
    steps_done: int
    steps: int
    loss_at_start: float | None
    loss: float | None
    first: dict[str, float]
    last: dict[str, float]
    best: Best | None
    tokens: int
    tokens_per_s: float | None  # over all steps
    step_seconds: float | None  # the median
    seconds: float  # of the steps
    total_seconds: float  # with start-up, evaluations, checkpoints and pauses, of every engine
    gpu_memory_peak: int | None = None  # bytes, of the GPU that it was on
    rss_peak: int | None = None  # bytes, resident
    fault: str = ""  # why there is no more of it to read


@dataclass(frozen=True)
class Comparison:
    """Runs, the settings in which they differ, and their results; all in the order of the runs."""

    results: list[Result]
    differing: dict[str, list[object]] = field(default_factory=dict)


def compare(runs: Sequence[Columns]) -> Comparison:
    """Set them side by side, as far as they were read."""
    return Comparison([result(run) for run in runs], differing([settings(run.run) for run in runs]))


def settings(run: RunDir) -> dict[str, object]:
    """Every setting of a run by its dotted key, and what was chosen for it; empty where its preset cannot be read."""
    try:
        sections = run.preset().model_dump(exclude={"description"})
    except UserError:  # of another version
        sections = {}
    found = {f"{section}.{key}": value for section, keys in sections.items() for key, value in keys.items()}
    info = run.info.read()
    changed = {"changes": _changes(run)} if run.changes_file.exists() else {}
    if origin := info.forked_from:
        changed["forked from"] = f"{origin.name} after {origin.step:,}"
    chosen = {name: value for name in _RESOLVED if (value := getattr(info, name))}
    return {**found, **chosen, **changed}


def _changes(run: RunDir) -> str | None:
    """What was changed while the run was at work, in a line; None where its records do not say."""
    try:
        changes, steps = Changes(run, run.preset()), sorted({changed.step for changed in run.changes()})
    except UserError:
        return None
    before, parts = changes.at(-1), []
    for step in steps:
        after = changes.at(step)
        for name in ("lr", "eps", "eval_every"):
            if (value := getattr(after, name)) != getattr(before, name):
                parts.append(f"{name} {value:g} from {step:,}")
        before = after
    return ", ".join(parts) or None


def differing(settings: Sequence[dict[str, object]]) -> dict[str, list[object]]:
    """The settings that are not the same everywhere, one value for each; None is unset."""
    names = dict.fromkeys(name for one in settings for name in one)
    columns = {name: [one.get(name) for one in settings] for name in names}
    return {name: values for name, values in columns.items() if any(value != values[0] for value in values)}


def result(curves: Columns) -> Result:
    """What came of a run, as far as it was read."""
    summary, steps = curves.run.summary(), len(curves)
    seconds = curves.place(summary.steps_done, "seconds")
    tokens = curves.place(summary.steps_done, "tokens")
    at_start, loss = curves.smoothed_loss(smoothing_span(summary.steps))
    taken, best = curves.evaluations, curves.best()
    used = together(curves.run.usage())
    return Result(
        name=summary.name,
        path=summary.path,
        standing=summary.standing,
        steps_done=steps,
        steps=summary.steps,
        loss_at_start=at_start,
        loss=loss,
        first=taken[0].metrics if taken else {},
        last=taken[-1].metrics if taken else {},
        best=Best(best.step, best.metrics, curves.place(best.step, "seconds"), only_harm(taken)) if best else None,
        tokens=int(tokens),
        tokens_per_s=tokens / seconds if seconds else None,
        step_seconds=statistics.median(curves.column("seconds")) if seconds else None,
        seconds=seconds,
        total_seconds=time_spent(curves.run, seconds)["total"],
        gpu_memory_peak=used.gpu.memory_used_peak if used and used.gpu else None,
        rss_peak=used.rss_peak if used else None,
        fault=curves.fault,
    )


def _best_step(best: Best) -> str:
    return "0, only harm" if best.only_harm else numbers.count(best.step)


def result_rows(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    """The results as rows of a name and a cell for each run; what none of them has is left out."""
    metrics = dict.fromkeys(name for one in results for name in [*one.first, *one.last])
    names = sorted(metrics, key=by_weight)
    rows = [
        ("standing", [one.standing for one in results]),
        ("steps", [f"{numbers.count(one.steps_done)} of {numbers.count(one.steps)}" for one in results]),
        ("train loss", [_change(one.loss_at_start, one.loss, "loss") for one in results]),
    ]
    for name in names:
        rows.append((f"held-out {name}", [_change(one.first.get(name), one.last.get(name), name) for one in results]))
    if names:
        main = names[0]
        rows += [
            (f"best {main}", [_metric(one.best.metrics.get(main), main) if one.best else "" for one in results]),
            ("  at step", [_best_step(one.best) if one.best else "" for one in results]),
            ("  after", [numbers.span(one.best.seconds) if one.best else "" for one in results]),
        ]
    rows += [
        ("tok/s", [numbers.count(one.tokens_per_s) if one.tokens_per_s else "" for one in results]),
        ("step time", [numbers.brief(one.step_seconds) if one.step_seconds else "" for one in results]),
        ("tokens", [numbers.short_count(one.tokens) if one.tokens else "" for one in results]),
        ("time of steps", [numbers.span(one.seconds) if one.seconds else "" for one in results]),
        ("time in all", [numbers.span(one.total_seconds) if one.total_seconds else "" for one in results]),
        ("peak memory", [_memory(one) for one in results]),
    ]
    return [(name, [cell or numbers.NOTHING for cell in cells]) for name, cells in rows if any(cells)]


def setting_rows(differing: dict[str, list[object]]) -> list[tuple[str, list[str]]]:
    """The settings as rows of a key and a cell for each run."""
    return [(name, [written(value) for value in values]) for name, values in differing.items()]


def written(value: object) -> str:
    """A setting as a preset writes it."""
    if value is None:
        return "unset"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _memory(one: Result) -> str:
    """Of the GPU if it was on one, else resident."""
    if one.gpu_memory_peak is not None:
        return f"{numbers.size(one.gpu_memory_peak)} GPU"
    return numbers.size(one.rss_peak) if one.rss_peak is not None else ""


def _change(before: float | None, after: float | None, metric: str) -> str:
    if before is None or after is None:
        return ""
    return f"{_metric(before, metric)} → {_metric(after, metric)}"


def _metric(value: float | None, metric: str) -> str:
    if value is None:
        return ""
    return numbers.loss(value) if metric == "loss" else numbers.accuracy(value)
