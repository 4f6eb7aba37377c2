"""From a preset to a runtime that is ready: what `engine.preflight.plan` checks and reads, then the loading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.preflight.plan import Prepared, plan_run, prepare
from engine.preset.schema import Preset
from engine.runs.directory import RunDir
from engine.runs.info import StartedOn
from engine.runtimes.base import Note, Report, Runtime
from engine.tasks.load import Task
from engine.tasks.tokenize import Encoder

if TYPE_CHECKING:
    from engine.directions.low_rank import Drawn


@dataclass(frozen=True)
class Opened:
    """A run that is ready for its first step."""

    runtime: Runtime
    task: Task
    model: str  # where the weights came from
    device: str
    dtype: str
    started_on: StartedOn  # for the run's record
    fold: str  # as well, where there are any
    experts: bool  # as well: whether those of a mixture move
    encoder: Encoder
    vocabulary: int  # the model's
    drawn: Drawn


def open_run(
    wanted: Preset, report: Report, note: Note = lambda level, text: None, run: RunDir | None = None
) -> Opened:
    """Check and load everything that `wanted` names. Raises `UserError`, cheap checks first.

    A `run` that was started before must find its model and its data as they were then.
    """
    from engine.preflight.checks import check_disk
    from engine.preflight.choose import describe_device
    from engine.preflight.scope import describe_scope

    plan = plan_run(wanted, report, note, run)
    if run:
        note(*check_disk(plan.disk, run.path))
    still = plan.facts.scope == "linear" and plan.facts.still.experts
    note("warning" if still else "info", f"model: {describe_scope(plan.facts, wanted.method)}")
    note("info", plan.why)
    prepared = prepare(plan, report, note)
    runtime = load_runtime(prepared, report, note)
    plan = prepared.plan
    device = describe_device(plan.device)
    encoder = Encoder(prepared.tokenizer, bos=plan.task.bos == "auto", rules=plan.rules)
    fold = prepared.fit.fold if runtime.name == "vllm" else ""
    return Opened(
        runtime, prepared.task, prepared.path, device, plan.dtype, prepared.started_on, fold, plan.experts, encoder,
        plan.facts.vocabulary, plan.drawn,
    )  # fmt: skip


def load_runtime(prepared: Prepared, report: Report, note: Note) -> Runtime:
    """Load the model into the runtime that was chosen, or the one that does better here. Raises `UserError`."""
    if prepared.plan.runtime == "training-loop":
        return _load(prepared, "training-loop", report)
    from engine.preflight.unpacked import without_packed, without_vllm
    from engine.runtimes.vllm.runtime import VllmRuntime
    from engine.runtimes.vllm.support import CannotAdapt

    runtime: Runtime | None
    try:
        runtime = _load(prepared, "vllm", report)
    except CannotAdapt as error:
        if prepared.plan.wanted.model.runtime != "auto":
            raise
        why, runtime = str(error), None
    if runtime is None:  # only here, for within the handler the error's frames hold vLLM's model
        return without_vllm(prepared, why, lambda name: _load(prepared, name, report), note)
    assert isinstance(runtime, VllmRuntime)
    report("self-check", None, "scoring one batch by two paths")
    level, text = runtime.self_check(prepared.task.train)
    if "packed" not in runtime.paths:
        return without_packed(prepared, runtime, text, lambda name: _load(prepared, name, report), report, note)
    note(level, text)
    return runtime


def _load(prepared: Prepared, name: str, report: Report) -> Runtime:
    """`vllm` or `training-loop`."""
    from engine.directions.space import space_of
    from engine.updates.base import rule_of

    plan = prepared.plan
    report("loading model", None, name)
    common: dict[str, Any] = {
        "dtype": plan.dtype,
        "device": plan.device,
        "space": space_of(plan.wanted.method),
        "rule": rule_of(plan.wanted.method),
        "seed": plan.wanted.run.seed,
        "drawn": plan.drawn,
        "trust_remote_code": plan.wanted.model.trust_remote_code,
    }
    if name == "training-loop":
        from engine.runtimes.training_loop import TrainingLoop

        return TrainingLoop(prepared.path, experts=plan.experts, scope=plan.wanted.method.scope, **common)
    from engine.runtimes.vllm.runtime import VllmRuntime

    return VllmRuntime(
        prepared.facts, needs=prepared.needs, memory_needed=prepared.fit.memory.total,
        plain_copies=prepared.fit.memory.copies > 0, fold=prepared.fit.fold,
        cuda_graphs=plan.wanted.model.cuda_graphs == "auto", **common,
    )  # fmt: skip
