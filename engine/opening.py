"""From a preset to a runtime that is ready: every check in order of cost, then the loading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine import hub, preset
from engine.environment import prepare_device
from engine.errors import UserError
from engine.rundir import home
from engine.runtime import Needs, Report, Runtime
from engine.task import Example, Task, check_sources, load_task


@dataclass(frozen=True)
class Opened:
    """A run that is ready for its first step."""

    runtime: Runtime
    task: Task
    model: str  # where the weights came from
    device: str
    dtype: str
    notes: list[str]  # worth a log line each


def open_run(wanted: preset.Preset, report: Report) -> Opened:
    """Check and load everything that `wanted` names. Raises `UserError`, cheap checks first."""
    notes: list[str] = []
    if wanted.task.name != "demo":
        check_sources(wanted.task)
    report("preparing", None, "loading libraries")
    path, task_preset = _demo(wanted, report)

    from engine import preflight
    from engine.fold import choose_fold
    from engine.model_files import read_model, read_tokenizer

    device = preflight.choose_device(wanted.model.device)
    prepare_device(device)
    trust = wanted.model.trust_remote_code
    report("checking", None, "reading the model's configuration")
    found = hub.find_model(path)
    facts = read_model(found.readable, trust_remote_code=trust)
    dtype = preflight.choose_dtype(wanted.model.dtype, device, facts)
    runtime_name, why = preflight.choose_runtime(wanted.model.runtime, device)
    notes.append(why)
    if runtime_name == "vllm":
        preflight.check_architecture(facts)
    fold = choose_fold(wanted.model.fold, dtype)
    notes.append(preflight.describe_fold(facts, dtype=dtype, runtime=runtime_name, fold=fold))
    # The weights alone, before the data is read; the whole once the data says how long it is.
    least = Needs(batch=1, longest=8, options=1, option_tokens=1)

    def check_memory(needs: Needs) -> int:
        return preflight.check_memory(
            facts,
            needs,
            wanted.method,
            dtype=dtype,
            device=device,
            runtime=runtime_name,
            fold=fold,
            limit_gib=wanted.model.memory_limit_gib,
        )

    check_memory(least)

    path = hub.download(found, lambda fraction, detail: report("downloading", fraction, detail))
    facts = replace(facts, path=path)

    context = min(facts.context, wanted.model.max_length or facts.context)
    tokenizer = read_tokenizer(path, trust_remote_code=trust)
    report("loading data", None, "")
    task = load_task(
        task_preset,
        tokenizer,
        seed=wanted.run.seed,
        max_length=context,
        report=lambda text, fraction: report("loading data", fraction, text),
    )
    notes += task.notes
    needs = _needs(task, wanted.run.batch_size, wanted.method.queries)
    memory_needed = check_memory(needs)

    report("loading model", None, runtime_name)
    common: dict[str, Any] = {
        "dtype": dtype,
        "device": device,
        "rank": wanted.method.rank,
        "seed": wanted.run.seed,
        "trust_remote_code": trust,
    }
    runtime: Runtime
    if runtime_name == "vllm":
        from engine.vllm_runtime import VllmRuntime

        graphs = wanted.model.cuda_graphs == "auto"
        vllm_runtime = VllmRuntime(
            facts, needs=needs, memory_needed=memory_needed, fold=fold, cuda_graphs=graphs, **common
        )
        report("self-check", None, "scoring one batch by two paths")
        notes.append(vllm_runtime.self_check(task.train))
        runtime = vllm_runtime
    else:
        from engine.training_loop import TrainingLoop

        runtime = TrainingLoop(path, interval=wanted.method.interval, **common)
    return Opened(runtime, task, path, preflight.describe_device(device), dtype, notes)


def model_path(wanted: preset.Preset) -> str:
    """Where the model of a run that was opened before is."""
    if wanted.model.path != preset.BUILTIN_DEMO:
        return hub.download(hub.find_model(wanted.model.path), lambda fraction, detail: None)
    return _demo(wanted, lambda name, progress, detail: None)[0]


def _demo(wanted: preset.Preset, report: Report) -> tuple[str, preset.Task]:
    """The model's path and the task, with the built-in demo made where either asks for it."""
    uses_model = wanted.model.path == preset.BUILTIN_DEMO
    if not uses_model and wanted.task.name != "demo":
        return wanted.model.path, wanted.task
    from engine.demo import ensure_demo

    demo = ensure_demo(home() / "cache", lambda text, fraction: report("preparing the demo", fraction, text))
    task = wanted.task
    if task.name == "demo":
        brought = {"train": str(demo.train), "validation": str(demo.validation)}
        task = task.model_copy(update={k: v for k, v in brought.items() if getattr(task, k) is None})
        check_sources(task)
    return str(demo.model) if uses_model else wanted.model.path, task


def _needs(task: Task, batch_size: int, queries: int) -> Needs:
    every: Sequence[Example] = [*task.train, *task.validation]
    if not task.train or not task.validation:
        raise UserError("task.train and task.validation must both hold an example")
    return Needs(
        batch=batch_size,
        longest=max(example.length for example in every),
        options=max(len(example.options) for example in every),
        option_tokens=max(len(option) for example in every for option in example.options),
        queries=queries,
    )
