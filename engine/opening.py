"""From a preset to a runtime that is ready: every check in order of cost, then the loading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from engine import hub, preset
from engine.environment import prepare_device
from engine.errors import UserError
from engine.journal import last_line
from engine.rundir import RunDir, home
from engine.runtime import Needs, Report, Runtime
from engine.task import Example, Task, check_sources, load_task
from engine.tokens import Encoder

Note = Callable[[Literal["info", "warning"], str], None]
"""Takes a line for the log, as soon as it is known."""


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
    was = _started_on(run, note) if run else {}
    if run and was:
        sources = {"task.train": wanted.task.train, "task.validation": wanted.task.validation}
        _check_still_there(run, {"model.path": wanted.model.path, **sources})
    if wanted.task.name != "demo":
        check_sources(wanted.task)
    report("preparing", None, "loading libraries")
    path, task_preset = _demo(wanted, report)

    from engine import fingerprint, preflight
    from engine.disk import estimate_disk
    from engine.fold import choose_fold
    from engine.memory import Memory
    from engine.model_files import check_pickles, read_model, read_tokenizer

    device = preflight.choose_device(wanted.model.device)
    prepare_device(device)
    trust = wanted.model.trust_remote_code

    def identified(folder: str) -> fingerprint.Files:
        files = fingerprint.of_model(Path(folder), code=trust)
        if "model" in was:
            fingerprint.check_model(Path(folder), files, was["model"])
        return files

    report("checking", None, "reading the model's configuration")
    found = hub.find_model(path, was.get("revision"))
    files = identified(found.folder) if found.folder else {}
    if trust:
        note("warning", f"model.trust_remote_code: Python code that comes with {path} may run here")
    facts = read_model(found.readable, trust_remote_code=trust)
    dtype = preflight.choose_dtype(wanted.model.dtype, device, facts)
    runtime_name, why = preflight.choose_runtime(wanted.model.runtime, device)
    note("info", why)
    if runtime_name == "vllm":
        preflight.check_architecture(facts)
    fold = choose_fold(wanted.model.fold, dtype)
    note("info", preflight.describe_fold(facts, dtype=dtype, runtime=runtime_name, fold=fold))

    def check_memory(needs: Needs) -> tuple[Memory, str]:
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

    # The weights alone, before the data is read; the whole once the data says how long it is.
    check_memory(Needs(batch=1, longest=8, options=1, option_tokens=1))
    if run:
        space = estimate_disk(
            facts, wanted, dtype=dtype, runtime=runtime_name, fold=fold,
            steps_done=run.steps_done(), saved=len(run.checkpoint_folders()),
        )  # fmt: skip
        note(*preflight.check_disk(space, run.path))

    path = hub.download(found, lambda fraction, detail: report("downloading", fraction, detail))
    files = files or identified(path)
    check_pickles(Path(path))
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
    for line in task.notes:
        note("info", line)
    data = fingerprint.of_data(task)
    if "data" in was:
        fingerprint.check_data(data, was["data"])
    needs = _needs(task, wanted.run.batch_size, wanted.method.queries)
    memory, line = check_memory(needs)
    note("info", line)

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
            facts, needs=needs, memory_needed=memory.total, plain_copies=memory.copies > 0, fold=fold,
            cuda_graphs=graphs, **common,
        )  # fmt: skip
        report("self-check", None, "scoring one batch by two paths")
        note("info", vllm_runtime.self_check(task.train))
        runtime = vllm_runtime
    else:
        from engine.training_loop import TrainingLoop

        runtime = TrainingLoop(path, **common)
    started_on = {"revision": found.revision, "model": files, "data": data}
    encoder = Encoder(tokenizer, bos=task_preset.bos == "auto")
    return Opened(runtime, task, path, preflight.describe_device(device), dtype, started_on, encoder)


def model_of(run: RunDir, note: Note) -> str:
    """The folder of the model that a run was started on. Raises `UserError` if it is gone or has changed."""
    from engine import fingerprint
    from engine.model_files import check_pickles

    wanted = run.preset()
    was = _started_on(run, note)
    _check_still_there(run, {"model.path": wanted.model.path})
    path = wanted.model.path
    if path == preset.BUILTIN_DEMO:
        path, _ = _demo(wanted, lambda name, progress, detail: None)
    folder = Path(hub.download(hub.find_model(path, was.get("revision")), lambda fraction, detail: None))
    if "model" in was:
        files = fingerprint.of_model(folder, code=wanted.model.trust_remote_code)
        fingerprint.check_model(folder, files, was["model"])
    check_pickles(folder)
    return str(folder)


def _started_on(run: RunDir, note: Note) -> dict[str, Any]:
    """What a run was started on, by its own record; empty where it has none, as a new run."""
    known: dict[str, Any] = run.info().get("started_on", {})
    if not known and last_line(run.journal_file) is not None:
        note("warning", "the run has no record of the model and the data that it was started on: taken as they are now")
    return known


def _check_still_there(run: RunDir, paths: dict[str, str | None]) -> None:
    """Raise `UserError` for a path of a run's preset, by its key, that leads nowhere any more."""
    for key, text in paths.items():
        if text and Path(text).is_absolute() and not Path(text).exists():
            raise UserError(
                f"{key}: {text}: is not there any more; put it back, or write its new place into {run.preset_file}"
            )


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
