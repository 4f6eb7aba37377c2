"""From a preset to a runtime that is ready: what `engine.preparing` checks and reads, then the loading."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import hub, preset
from engine.preparing import Note, Prepared, check_still_there, identify, plan_run, prepare, started_on, with_demo
from engine.rundir import RunDir
from engine.runtime import Report, Runtime
from engine.task import Task
from engine.tokens import Encoder


@dataclass(frozen=True)
class Opened:
    """A run that is ready for its first step."""

    runtime: Runtime
    task: Task
    model: str  # where the weights came from
    device: str
    dtype: str
    started_on: dict[str, Any]  # see `engine.fingerprint`; for the run's record
    encoder: Encoder


def open_run(
    wanted: preset.Preset, report: Report, note: Note = lambda level, text: None, run: RunDir | None = None
) -> Opened:
    """Check and load everything that `wanted` names. Raises `UserError`, cheap checks first.

    A `run` that was started before must find its model and its data as they were then.
    """
    from engine import preflight

    prepared = prepare(plan_run(wanted, report, note, run), report, note)
    runtime = load_runtime(prepared, report, note)
    device = preflight.describe_device(prepared.plan.device)
    encoder = Encoder(prepared.tokenizer, bos=prepared.plan.task.bos == "auto")
    return Opened(runtime, prepared.task, prepared.path, device, prepared.plan.dtype, prepared.started_on, encoder)


def load_runtime(prepared: Prepared, report: Report, note: Note) -> Runtime:
    """Load the model into the runtime that was chosen. Raises `UserError`."""
    plan = prepared.plan
    report("loading model", None, plan.runtime)
    common: dict[str, Any] = {
        "dtype": plan.dtype,
        "device": plan.device,
        "rank": plan.wanted.method.rank,
        "seed": plan.wanted.run.seed,
        "trust_remote_code": plan.wanted.model.trust_remote_code,
    }
    if plan.runtime == "training-loop":
        from engine.training_loop import TrainingLoop

        return TrainingLoop(prepared.path, **common)
    from engine.vllm_runtime import VllmRuntime

    runtime = VllmRuntime(
        prepared.facts, needs=prepared.needs, memory_needed=prepared.memory.total,
        plain_copies=prepared.memory.copies > 0, fold=plan.fold,
        cuda_graphs=plan.wanted.model.cuda_graphs == "auto", **common,
    )  # fmt: skip
    report("self-check", None, "scoring one batch by two paths")
    note("info", runtime.self_check(prepared.task.train))
    return runtime


def model_of(run: RunDir, note: Note) -> str:
    """The folder of the model that a run was started on. Raises `UserError` if it is gone or has changed."""
    from engine.model_files import check_pickles

    wanted = run.preset()
    was = started_on(run, note)
    check_still_there(run, {"model.path": wanted.model.path})
    path = wanted.model.path
    if path == preset.BUILTIN_DEMO:
        path, _ = with_demo(wanted, lambda name, progress, detail: None)
    folder = Path(hub.download(hub.find_model(path, was.get("revision")), lambda fraction, detail: None))
    if "model" in was:
        identify(folder, was, code=wanted.model.trust_remote_code)
    check_pickles(folder)
    return str(folder)
