"""The way of an evaluation: checks, the model, the steps of the run taken again, examples measured, the record."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from msgspec import structs

from engine import machine
from engine.errors import RunFailed
from engine.evaluate.asked import Asked
from engine.preflight.choose import describe_device
from engine.preflight.open import load_runtime
from engine.preflight.plan import Prepared, on_test, plan_run, prepare
from engine.preset.schema import Preset
from engine.protocol.events import Event, Log, Phase
from engine.protocol.findings import Evaluated
from engine.runs.directory import RunDir
from engine.runs.journal import append
from engine.runs.proportion import intervals
from engine.runtimes.base import Note, Report, Runtime
from engine.tasks.spec import TaskSpec
from engine.tasks.tokenize import RULES, Encoder
from engine.training.measure import Measure


def evaluate(asked: Asked, report: Report, note: Note) -> Evaluated:
    """Measure it, and have it on record with the run. Raises `UserError`, cheap checks first, and `RunFailed`."""
    with opened(asked, report, note) as (prepared, runtime):
        found = _measure(asked, prepared, runtime, report)
    if asked.run is not None:
        try:
            append(asked.run.evals_file, found)
        except OSError as error:
            note("warning", f"{asked.run.evals_file}: cannot be written ({error.strerror}); this is on no record")
    return found


@contextmanager
def opened(asked: Asked, report: Report, note: Note) -> Iterator[tuple[Prepared, Runtime]]:
    """The task, and the model with the weights that are meant. Raises as `evaluate` does."""
    prepared = _prepare(asked, report, note)
    runtime = load_runtime(prepared, report, note)
    try:
        if asked.run is not None and asked.step:
            _take_steps(asked.run, asked.step, runtime, report, note)
        yield prepared, runtime
    finally:
        runtime.close()


def _prepare(asked: Asked, report: Report, note: Note) -> Prepared:
    plan = plan_run(_as_before(asked), report, note, asked.run)
    if plan.was is not None and not asked.own_task:
        plan = replace(plan, was=structs.replace(plan.was, data=None))  # of another task it says nothing
        if not asked.same_prompts:
            plan = replace(plan, rules=RULES)  # as for any other model
    note("info", plan.why)
    prepared = prepare(plan, report, note)
    return on_test(prepared, report, note) if asked.split == "test" else prepared


def _as_before(asked: Asked) -> Preset:
    """By the runtime, and in the precision, that took the run's steps."""
    info = asked.run.info.read() if asked.run else None
    if info is None or not info.runtime:
        return asked.wanted
    model = asked.wanted.model
    as_before = {"runtime": info.runtime, "dtype": info.dtype or model.dtype}
    return asked.wanted.model_copy(update={"model": model.model_copy(update=as_before)})


def _take_steps(run: RunDir, step: int, runtime: Runtime, report: Report, note: Note) -> None:
    """Bring the weights from those of the model's files to the state after so many steps, as a resume does."""
    from engine.optimizer import Optimizer
    from engine.training.restore import Restorer

    def tell(event: Event) -> None:
        if isinstance(event, Phase):
            report(event.name, event.progress, event.detail)
        elif isinstance(event, Log):
            note("warning", event.text)

    wanted = run.preset()
    optimizer = Optimizer(wanted.method, wanted.run.steps, "classification", wanted.run.seed)
    Restorer(run, runtime, tell).go_to(step, optimizer, at_base=True)


def _measure(asked: Asked, prepared: Prepared, runtime: Runtime, report: Report) -> Evaluated:
    plan, examples = prepared.plan, prepared.task.validation
    slices = 0

    def between() -> None:
        nonlocal slices
        slices += 1
        report("evaluating", None, f"{len(examples):,} examples, part {slices}")

    began = time.monotonic()
    metrics = Measure(runtime, prepared.task, encoder_of(prepared)).of(examples, between)
    seconds = time.monotonic() - began
    if not math.isfinite(metrics["loss"]):
        raise RunFailed(
            f"the loss of {len(examples):,} examples is not a finite number ({metrics['loss']:.4g}); try another "
            "--step, or of a model --set model.dtype=float32"
        )
    generated = sum(bool(example.answers) for example in examples)
    spec = TaskSpec.of(plan.task)
    return Evaluated(
        step=asked.step,
        split=asked.split,
        metrics=metrics,
        intervals=intervals(metrics, len(examples), generated),
        examples=len(examples),
        generated=generated,
        task=asked.task,
        source=asked.source(spec),
        shots=spec.shots,
        model=asked.wanted.model.path,
        run=str(asked.run.path) if asked.run else "",
        runtime=runtime.name,
        device=describe_device(plan.device),
        dtype=plan.dtype,
        versions=machine.versions(),
        when=time.time(),
        seconds=seconds,
    )


def encoder_of(prepared: Prepared) -> Encoder:
    """What makes tokens of texts, as the run's did."""
    plan = prepared.plan
    return Encoder(prepared.tokenizer, bos=plan.task.bos == "auto", rules=plan.rules)
