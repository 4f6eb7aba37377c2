"""Presets: what to run. One TOML file, validated; unknown keys are refused with a suggestion.

`Preset` is the schema and its field descriptions are the documentation of every knob. The files in
`presets/` show them in use.
"""

from __future__ import annotations

from pathlib import Path

import tomlkit
from pydantic import Field, model_validator

from engine.methods.sense import refuse_nonsense
from engine.preset.method import Method
from engine.preset.model import Model
from engine.preset.paths import kind_of, local, there
from engine.preset.run import Run
from engine.preset.section import Section
from engine.preset.task import Task

BUILTIN_DEMO = "builtin:demo"


def deaf(method: Method, run: Run) -> str:
    """Why a ratchet, or patience, would never hear of a worse evaluation, and what to set; empty where it would.

    Empty, too, where there is neither.
    """
    if (run.eval_every or run.steps) < run.steps:
        return ""
    none = "of which there is none between the first and the last; set run.eval_every to less than run.steps"
    if method.ratchet:
        return f"method.ratchet: goes back on a worse evaluation, {none}"
    return f"run.patience: stops on worse evaluations, {none}" if run.patience else ""


class Preset(Section):
    """What to run."""

    description: str = Field("", description="One line for the list of presets.")
    model: Model
    task: Task
    method: Method = Method()  # type: ignore[call-arg]
    run: Run = Run()  # type: ignore[call-arg]

    @model_validator(mode="after")
    def _pieces_go_together(self) -> Preset:
        if reason := deaf(self.method, self.run):
            off = "method.ratchet = false" if self.method.ratchet else "run.patience = 0"
            raise ValueError(f"{reason}, or set {off}")
        batch = self.run.batch_size
        if self.method.parts(batch) > batch:
            raise ValueError(
                f"method.shards = {self.method.shards} are more parts than a batch of {batch} has examples; "
                "lower method.shards, set it to 'examples', which are as many as there are, or raise run.batch_size"
            )
        if self.method.shards == "examples":
            try:
                refuse_nonsense(self.method.model_copy(update={"shards": batch}))
            except ValueError as reason:
                raise ValueError(
                    f"method.shards = 'examples' of run.batch_size = {batch}: {reason}, or raise run.batch_size"
                ) from None
        return self

    def absolute(self) -> Preset:
        """The same with local paths made absolute: a run is resumed from any folder."""

        def fix(text: str | None) -> str | None:
            path = local(text) if text else None
            return str(path.absolute()) if path and there(path) else text

        sources = {split: fix(getattr(self.task, split)) for split in ("train", "validation", "test")}
        return self.model_copy(
            update={
                "model": self.model.model_copy(update={"path": fix(self.model.path)}),
                "task": self.task.model_copy(update=sources),
            }
        )

    def missing(self) -> list[str]:
        """The local files that are asked for and not there, as `key: path`; what may be a hub id is not among them."""
        asked = {split: getattr(self.task, split) for split in ("train", "validation", "test")}
        files = {
            f"task.{split}": text for split, text in asked.items() if text and (kind_of(Path(text)) or "@" not in text)
        }
        if self.model.path.startswith(("/", "./", "../", "~")):
            files["model.path"] = self.model.path
        return [f"{key}: {text}" for key, text in files.items() if not there(local(text))]

    def to_toml(self) -> str:
        """The resolved preset, every key that is set."""
        return tomlkit.dumps(self.model_dump(exclude_none=True))
