"""What is evaluated: a run's state or a model, on a split of a task; and what of it is refused at once."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import UserError
from engine.preset.schema import Preset
from engine.runs.directory import RunDir
from engine.runs.states import steps_of_state
from engine.tasks.spec import Split, TaskSpec


@dataclass(frozen=True)
class Asked:
    """An evaluation that can be made, as far as that is known without the model.

    Attributes: wanted, the run's preset or the model's, with the task that is asked; run, None of a model; step, after
    how many steps of the run.
    """

    wanted: Preset
    run: RunDir | None
    split: Split
    step: int

    @classmethod
    def of(cls, wanted: Preset, run: RunDir | None, split: Split, step: str) -> Asked:
        """`step` as `engine.runs.states` has it. Raises `UserError` for what cannot be evaluated."""
        done = 0
        if run is not None:
            if run.is_live():
                raise UserError(
                    f"{run.name}: is live; `zotui attach` and `e` evaluate it as it is, or `zotui stop` it first"
                )
            run.refuse_damaged()
            done = steps_of_state(run, step, base=True)
        if split == "test" and "test" not in TaskSpec.of(wanted.task).sources:
            raise UserError(
                "--split test: this task has no test split; give one with --set task.test=FILE, or a hub id "
                "name[:config]@split"
            )
        return cls(wanted, run, split, done)

    @property
    def own_task(self) -> bool:
        """Whether the data is what the run was started on."""
        was = self.run.preset() if self.run else None
        wanted = self.wanted
        return was is not None and (was.task, was.model.max_length) == (wanted.task, wanted.model.max_length)

    @property
    def same_prompts(self) -> bool:
        """Whether prompts and options are those of the run, which become tokens as they did there."""
        keys = ("name", "kind", "objective", "template", "join", "label", "verbalizer", "choices", "target", "messages")
        was = self.run.preset().task if self.run else None
        return was is not None and all(getattr(was, key) == getattr(self.wanted.task, key) for key in keys)

    @property
    def task(self) -> str:
        """What the task is called."""
        return self.wanted.task.name or TaskSpec.of(self.wanted.task).kind

    def source(self, spec: TaskSpec) -> str:
        """Where the examples are from."""
        found = spec.sources.get(self.split)
        return found if found is not None else f"{spec.sources['train']} (held out)"
