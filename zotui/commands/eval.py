"""`zotui eval`: what a model, or a state of a run, makes of a task."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tomlkit
import typer

from engine.errors import EXIT_DONE, UserError
from engine.preset.load import load
from engine.preset.paths import local
from engine.preset.schema import BUILTIN_DEMO, Preset
from engine.preset.task import TASKS
from engine.protocol.codec import encode
from engine.protocol.events import Error, Log, Phase
from engine.protocol.findings import Evaluated
from engine.runs.directory import RunDir
from engine.text import suggest
from zotui.commands.completion import run_names, task_names
from zotui.commands.options import Changes
from zotui.engines.evaluating import EvaluateEngine
from zotui.headless.progress import Progress
from zotui.text.evals import rows
from zotui.text.output import print_out, print_table, talk

SPLITS = ("validation", "test")

_OF_A_RUN = ("model.device", "model.memory_limit_gib", "model.cuda_graphs", "model.max_length")
"""Beside its task, what may differ: what the steps of a run do not depend on."""


def evaluate(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN|MODEL",
            help="A run's name or path; or a model's folder or hub id, as it is.",
            show_default=False,
            autocompletion=run_names,
        ),
    ],
    split: Annotated[str, typer.Option("--split", metavar="|".join(SPLITS), help="Of the task.")] = "validation",
    step: Annotated[
        str | None,
        typer.Option(
            "--step",
            metavar="N|base|best|last",
            help="Of a run: as it was after N steps, before training (base or 0), at the best evaluation, or last "
            "(default).",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            metavar="TASK",
            help="A built-in task. Default: the run's own.",
            show_default=False,
            autocompletion=task_names,
        ),
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(
            "--shots",
            metavar="N",
            min=0,
            help="Training examples that stand before every prompt. Default: as the task has it.",
            show_default=False,
        ),
    ] = None,
    changes: Changes = None,
    json: Annotated[bool, typer.Option("--json", help="The result as a JSON object.")] = False,
) -> None:
    """Evaluate a run at any step, or a model as it is: metrics on a split of its task or another, with intervals."""
    if split not in SPLITS:
        raise UserError(f"--split {split}: not a split; use {' or '.join(SPLITS)}")
    if task is not None and task not in TASKS:
        raise UserError(f"--task {task}: not a built-in task{suggest(task, TASKS) or '; use ' + ', '.join(TASKS)}")
    run = _run(what)
    if run is None and step is not None:
        raise UserError(f"--step {step}: is for a run; {what} is a model, which is evaluated as it is")
    wanted = of_run(run, task, shots, changes or ()) if run else of_model(what, task, shots, changes or ())
    raise typer.Exit(_follow(EvaluateEngine.on(wanted, run, split, step or "last"), run, step or "last", as_json=json))


def _run(what: str) -> RunDir | None:
    """The run that is meant, None where it is a model. Raises `UserError` if it can be neither."""
    try:
        return RunDir.find(what)
    except UserError:
        if what == BUILTIN_DEMO or (local(what) / "config.json").is_file():
            return None
        if what.count("/") == 1 and not what.startswith((".", "~", "/")) and not Path(what).exists():
            return None  # a hub id
        raise UserError(
            f"{what}: no such run, and no model's folder or hub id owner/name; `zotui list` shows the runs"
        ) from None


def of_run(run: RunDir, task: str | None, shots: int | None, changes: Sequence[str]) -> Preset:
    """The run's preset with the task that is asked. Raises `UserError` for what its steps depend on."""
    for change in changes:
        key = change.partition("=")[0].strip()
        if "=" in change and not key.startswith("task.") and key not in _OF_A_RUN:
            raise UserError(
                f"--set {key}: the run's own stays; an evaluation of a run can change task.* and {', '.join(_OF_A_RUN)}"
            )
    wanted = run.preset()
    data = wanted.model_dump(exclude_none=True)
    if task is not None and task != wanted.task.name:
        data["task"] = {"name": task}
    return load(run.name, tomlkit.dumps(data), _with_shots(shots, changes))


def of_model(model: str, task: str | None, shots: int | None, changes: Sequence[str]) -> Preset:
    """A preset with this model and the task. Raises `UserError` where there is none."""
    given = any(change.partition("=")[0].strip() in ("task.train", "task.name") for change in changes)
    if task is None and not given:
        raise UserError(
            f"{model}: a model has no task of its own; add --task with one of {', '.join(TASKS)}, or --set "
            "task.train=FILE and the other keys of your own"
        )
    data = {"model": {"path": model}, "task": {"name": task} if task else {}}
    return load(model, tomlkit.dumps(data), _with_shots(shots, changes))


def _with_shots(shots: int | None, changes: Sequence[str]) -> list[str]:
    return [*changes, *([] if shots is None else [f"task.shots={shots}"])]


def _follow(engine: EvaluateEngine, run: RunDir | None, step: str, *, as_json: bool) -> int:
    """Show what it says to its end; returns the exit code."""
    progress, refused = Progress(quiet=as_json or not sys.stderr.isatty()), False
    try:
        for found in engine.findings():
            if isinstance(found, Evaluated):
                progress.clear()
                if as_json:
                    print_out(encode(found).decode().rstrip())
                else:
                    print_table(rows(found, run, step))
            elif isinstance(found, Error):
                refused = True
                progress.clear()
                talk(f"zotui: {found.text}")
            elif isinstance(found, Phase) or (isinstance(found, Log) and found.level == "warning"):
                progress.show(found)
        code = engine.wait()
    finally:
        progress.clear()
        engine.close()
    if code != EXIT_DONE and not refused:
        talk(
            f"zotui: the evaluation ended with code {code}; `{' '.join(EvaluateEngine.COMMAND)} PRESET.toml` shows why"
        )
    return code
