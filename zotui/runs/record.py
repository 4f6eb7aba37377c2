"""What `zotui show` says of a run: all that the cockpit shows of it, as far as it is recorded."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from engine.errors import UserError
from engine.protocol.events import Eval, Step
from engine.runs.best import best_evaluation
from engine.runs.directory import RunDir, Summary, step_of
from engine.runs.journal import fields_of
from engine.runs.timing import time_spent
from engine.runs.usage import Usage, thinned, together
from zotui.runs.curves import Columns
from zotui.runs.side_by_side import Result, result

if TYPE_CHECKING:
    from engine.runs.signal import Figures

_RECENT = 32  # steps that the speed now is averaged over, as in the cockpit
_LOG_LINES = 15
_USAGE_LINES = 500  # of the object; a longer record is thinned


@dataclass(frozen=True)
class BestSoFar:
    """The best evaluation, the seconds of the steps until it, and the checkpoint of that step."""

    step: int
    metrics: dict[str, float]
    checkpoint: str | None
    seconds: float | None  # where the journal can be read


class Happened(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What happened besides steps, once so many were done; what it does not have is left out."""

    kind: Literal["evaluation", "checkpoint", "fold", "pause", "change", "return"]
    step: int
    seconds_of_steps: float = math.nan  # until then
    split: str | None = None
    metrics: dict[str, float] | None = None
    examples: int | None = None
    seconds: float | None = None
    path: str | None = None
    update_kept: float | None = None
    update_cosine: float | None = None
    lr: float | None = None
    eps: float | None = None
    eval_every: int | None = None
    to: int | None = None  # of a return: the state after so many steps


@dataclass(frozen=True)
class Record:
    """A run as its records tell it; what a damaged journal does not tell is None."""

    run: RunDir
    summary: Summary
    evaluations: list[Eval]
    best: BestSoFar | None
    time: dict[str, float] | None  # measured seconds by kind
    signal: Figures | None
    update_kept: Step | None  # the newest that tells
    curves: Columns | None
    result: Result | None
    timeline: list[Happened]
    usage: list[Usage]


def record_of(run: RunDir) -> Record:
    """Read a run, its journal once. Raises `UserError` for evaluations that are damaged."""
    evaluations, curves = run.evaluations(), Columns(run)
    try:
        steps = list(run.journal())
    except UserError:
        best = _best(run, evaluations, None)
        return Record(run, run.summary(), evaluations, best, None, None, None, None, None, [], run.usage())
    curves.extend(steps)
    for evaluation in evaluations:
        curves.add_evaluation(evaluation)
    spent = time_spent(run, math.fsum(step.seconds for step in steps))
    kept = next((step for step in reversed(steps) if step.update_kept is not None), None)
    best, timeline = _best(run, evaluations, curves), _timeline(run, curves, steps)
    return Record(
        run, run.summary(), evaluations, best, spent, _signal_of(run, steps), kept, curves, result(curves), timeline,
        run.usage(),
    )  # fmt: skip


def as_object(record: Record) -> dict[str, object]:
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
        "evaluations": list(map(fields_of, record.evaluations)),
        "evals": list(map(fields_of, run.evals())),
        "checkpoints": list(map(str, run.checkpoint_folders())),
        "best": record.best,
        "update_kept": _kept(record.update_kept),
        "time": spent,
        "usage": _usage(record.usage),
        "signal": {**fields_of(record.signal), "verdict": record.signal.verdict.text} if record.signal else None,
        "timeline": record.timeline,
        "log_tail": run.log_tail(_LOG_LINES) if ended_badly else [],
        "resolved_preset": run.preset().model_dump(),
    }


def _usage(lines: list[Usage]) -> dict[str, object] | None:
    """What the run took: the newest line, one over the whole run with its means and peaks, and all of them."""
    if not lines:
        return None
    return {"last": lines[-1], "whole_run": together(lines), "lines": thinned(lines, _USAGE_LINES)}


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


def _loss(record: Record) -> dict[str, float | None] | None:
    if record.curves is None or record.result is None or not len(record.curves):
        return None
    last = record.curves.column("loss")[-1]
    smoothed, at_start = record.result.loss, record.result.loss_at_start
    return {"last": last if math.isfinite(last) else None, "smoothed": smoothed, "smoothed_at_start": at_start}


def _speed(record: Record) -> dict[str, float | None] | None:
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


def _kept(told: Step | None) -> dict[str, float | None] | None:
    return {"step": told.step, "kept": told.update_kept, "cosine": told.update_cosine} if told else None


def _timeline(run: RunDir, curves: Columns, steps: list[Step]) -> list[Happened]:
    found = [
        Happened(
            kind="evaluation", step=one.step, split=one.split, metrics=one.metrics, examples=one.examples,
            seconds=one.seconds,
        )
        for one in curves.evaluations
    ]  # fmt: skip
    found += [
        Happened(kind="checkpoint", step=step_of(folder), path=str(folder)) for folder in run.checkpoint_folders()
    ]
    info = run.info.read()
    if info.runtime == "vllm":  # the training loop moves the weights at every step
        interval = run.preset().method.interval
        found += [
            Happened(kind="fold", step=one.step, update_kept=one.update_kept, update_cosine=one.update_cosine)
            for one in steps[interval::interval]
        ]
    found += [Happened(kind="pause", step=pause.step, seconds=pause.seconds) for pause in info.pauses]
    found += [Happened(kind="return", step=one.step, to=one.to, lr=one.lr) for one in curves.returns]
    with suppress(UserError):
        found += [
            Happened(kind="change", step=one.step, lr=one.lr, eps=one.eps, eval_every=one.eval_every)
            for one in run.changes()
        ]
    for one in found:
        one.seconds_of_steps = curves.place(one.step, "seconds")
    return sorted(found, key=lambda one: one.step)


def _best(run: RunDir, evaluations: list[Eval], curves: Columns | None) -> BestSoFar | None:
    """None before there is one."""
    best = best_evaluation(evaluations)
    if best is None:
        return None
    folder = run.checkpoint_at(best.step)
    seconds = curves.place(best.step, "seconds") if curves else None
    return BestSoFar(best.step, best.metrics, str(folder) if folder else None, seconds)


def _signal_of(run: RunDir, steps: list[Step]) -> Figures | None:
    """The figures of the run's signal up to now; None before the first step."""
    from engine.runs.signal import Signal, entry_variance  # numpy: only for those who ask

    info = run.info.read()
    signal = Signal(info.noise.nats if info.noise else None, info.dtype, entry_variance(run.preset().method))
    for step in steps:
        signal.add(step)
    return signal.figures()
