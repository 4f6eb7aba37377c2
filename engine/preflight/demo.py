"""The built-in demo, where a preset asks for it: its model and its data are made before anything is read."""

from __future__ import annotations

from engine.preset.schema import BUILTIN_DEMO, Preset
from engine.preset.task import Task
from engine.runs.home import home
from engine.runtimes.base import Report
from engine.tasks.load import check_sources


def with_demo(wanted: Preset, report: Report) -> tuple[str, Task]:
    """The model's path and the task, with the built-in demo made where either asks for it."""
    uses_model = wanted.model.path == BUILTIN_DEMO
    if not uses_model and wanted.task.name != "demo":
        return wanted.model.path, wanted.task
    from engine.tasks.demo import ensure_demo

    demo = ensure_demo(home() / "cache", lambda text, fraction: report("preparing the demo", fraction, text))
    task = wanted.task
    if task.name == "demo":
        brought = {"train": str(demo.train), "validation": str(demo.validation)}
        task = task.model_copy(update={k: v for k, v in brought.items() if getattr(task, k) is None})
        check_sources(task)
    return str(demo.model) if uses_model else wanted.model.path, task
