"""What `zotui show` says of a run: all that the cockpit shows of it, as far as it is recorded."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from engine.errors import UserError
from engine.runs.directory import RunDir, Summary, step_of
from engine.runs.journal import read
from engine.runs.timing import time_spent
from engine.runs.usage import Usage, thinned, together
from zotui.runs.columns import Columns
from zotui.runs.side_by_side import Result, result

if TYPE_CHECKING:
    from engine.runs.signal import Figures

_RECENT = 32  # steps that the speed now is averaged over, as in the cockpit
_LOG_LINES = 15
_USAGE_LINES = 500  # of the object; a longer record is thinned


@dataclass(frozen=True)
class Record:
    """A run as its records tell it; what a damaged journal does not tell is None."""

    run: RunDir
    summary: Summary
    evaluations: list[dict[str, Any]]
    best: dict[str, Any] | None
    time: dict[str, float] | None  # measured seconds by kind
    signal: Figures | None
    curves: Columns | None
    result: Result | None
    timeline: list[dict[str, Any]]
    usage: list[Usage]


def record_of(run: RunDir) -> Record:
    """Read a run, its journal once. Raises `UserError` for evaluations that are damaged."""
    evaluations = run.evaluations()
    try:
        steps = list(run.journal())
        curves = Columns(run)
        for step in steps:
            curves.add(step)
        for evaluation in evaluations:
            curves.add_evaluation(evaluation)
    except (UserError, AttributeError, KeyError, TypeError, ValueError):
        return Record(run, run.summary(), evaluations, best_of(run), None, None, None, None, [], run.usage())
    spent = time_spent(run, math.fsum(step.get("seconds", 0.0) for step in steps))
    best = best_of(run)
    if best:
        best["seconds"] = curves.place(best["step"], "seconds")
    signal, timeline = _signal_of(run, steps), _timeline(run, curves, steps)
    return Record(run, run.summary(), evaluations, best, spent, signal, curves, result(curves), timeline, run.usage())


def as_object(record: Record) -> dict[str, Any]:
    """All of it as one object; seconds are measured, but for `eta_seconds`, which a run has only while it is live."""
    run, summary, spent = record.run, record.summary, record.time
    ended_badly = summary.standing in ("failed", "crashed")
    return {
        **msgspec.to_builtins(summary),
        "info": run.info.read(),
        "progress": {
            "share": summary.steps_done / summary.steps if summary.steps else None,
            "elapsed_seconds": spent["total"] if spent else None,
            "eta_seconds": remaining(record),
        },
        "loss": _loss(record),
        "speed": _speed(record),
        "evaluations": record.evaluations,
        "checkpoints": list(map(str, run.checkpoint_folders())),
        "best": record.best,
        "update_kept": run.update_kept(),
        "time": spent,
        "usage": _usage(record.usage),
        "signal": {**asdict(record.signal), "verdict": record.signal.verdict.text} if record.signal else None,
        "timeline": record.timeline,
        "log_tail": run.log_tail(_LOG_LINES) if ended_badly else [],
        "resolved_preset": run.preset().model_dump(),
    }


def _usage(lines: list[Usage]) -> dict[str, Any] | None:
    """What the run took: the newest line, one over the whole run with its means and peaks, and all of them."""
    if not lines:
        return None
    shown = {"last": lines[-1], "whole_run": together(lines), "lines": thinned(lines, _USAGE_LINES)}
    return {name: msgspec.to_builtins(value) for name, value in shown.items()}


def _recent(record: Record) -> tuple[float, float] | None:
    """Tokens and seconds of the mean step of late."""
    if record.curves is None or not len(record.curves):
        return None
    tokens, seconds = (record.curves.column(name)[-_RECENT:] for name in ("tokens", "seconds"))
    mean = sum(tokens) / len(tokens), sum(seconds) / len(seconds)
    return mean if all(map(math.isfinite, mean)) and mean[1] > 0 else None


def remaining(record: Record) -> float | None:
    recent, summary = _recent(record), record.summary
    if recent is None or summary.standing != "live":
        return None
    return recent[1] * (summary.steps - summary.steps_done)


def _loss(record: Record) -> dict[str, Any] | None:
    if record.curves is None or record.result is None or not len(record.curves):
        return None
    last = record.curves.column("loss")[-1]
    smoothed, at_start = record.result.loss, record.result.loss_at_start
    return {"last": last if math.isfinite(last) else None, "smoothed": smoothed, "smoothed_at_start": at_start}


def _speed(record: Record) -> dict[str, Any] | None:
    recent, found = _recent(record), record.result
    if found is None or recent is None:
        return None
    return {
        "tokens_per_s": recent[0] / recent[1],
        "step_seconds": recent[1],
        "mean_tokens_per_s": found.tokens_per_s,
        "median_step_seconds": found.step_seconds,
        "tokens": found.tokens,
    }


def _timeline(run: RunDir, curves: Columns, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What happened besides steps, by the steps done until then, with the seconds of those steps."""
    found: list[dict[str, Any]] = [{"kind": "evaluation", **taken} for taken in curves.evaluations]
    for folder in run.checkpoint_folders():
        found.append({"kind": "checkpoint", "step": step_of(folder), "path": str(folder)})
    if run.info.read().get("runtime") == "vllm":  # the training loop moves the weights at every step
        interval = run.preset().method.interval
        for step in steps[interval::interval]:
            kept: dict[str, Any] = {name: step[name] for name in ("update_kept", "update_cosine") if name in step}
            found.append({"kind": "fold", "step": step["step"], **kept})
    found += [{"kind": "pause", **pause} for pause in run.info.pauses()]
    try:
        changes = read(run.path / "changes.jsonl").records
    except UserError:
        changes = []
    found += [{**change, "kind": "change"} for change in changes if isinstance(change.get("step"), int)]
    found.sort(key=lambda entry: entry["step"])
    return [{**entry, "seconds_of_steps": curves.place(entry["step"], "seconds")} for entry in found]


def best_of(run: RunDir) -> dict[str, Any] | None:
    """The best evaluation; None before there is one, or where their records are damaged."""
    try:
        return run.best()
    except UserError:
        return None


def _signal_of(run: RunDir, steps: list[dict[str, Any]]) -> Figures | None:
    """The figures of the run's signal up to now; None before the first step."""
    from engine.runs.signal import Signal  # numpy: only for those who ask

    info = run.info.read()
    signal = Signal((info.get("noise") or {}).get("nats"), info.get("dtype", ""), run.preset().method.rank)
    for step in steps:
        signal.add(**step)
    return signal.figures()
