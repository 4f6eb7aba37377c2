"""What a task asks: its template, its options, and which of them a row's label means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine.errors import UserError
from engine.preset.task import Task
from engine.tasks.builtin import BUILTIN
from engine.tasks.classes import plain_number
from engine.tasks.sources import Source
from engine.tasks.template import Template
from engine.text import listed, suggest


@dataclass(frozen=True)
class TaskSpec:
    """A task with everything that its name brings, and what it asks to be predicted."""

    objective: Literal["classification", "lm"]
    sources: dict[str, str]  # by split
    template: Template
    target: Template | None
    label: str
    options: dict[str, str]  # label -> option text
    end: Literal["eos", "none"]  # what a target ends in

    @classmethod
    def of(cls, task: Task) -> TaskSpec:
        """A preset's task with what its name brings. Raises `UserError` where something is missing or contradictory."""
        brought = BUILTIN[task.name] if task.name else {}
        given = task.model_dump(exclude_none=True)
        merged = {**brought, **given}
        if "template" not in merged:
            raise UserError("task.template: missing; the prompt, for example '{sentence} It was'")
        objective = _objective(task, merged)
        sources: dict[str, str] = {s: merged[s] for s in ("train", "validation", "test") if s in merged}
        template = Template("task.template", merged["template"], varies=objective == "classification")
        if objective == "lm":
            target = Template("task.target", merged["target"], varies=True)
            return cls(objective, sources, template, target, "", {}, merged.get("end", "none"))
        if merged.get("end", "none") != "none":
            raise UserError(
                "task.end: eos is for objective lm, whose target the model learns to end; options of a classification "
                "are compared as they are; remove the key"
            )
        if "label" not in merged:
            raise UserError("task.label: missing; the column that holds the label")
        options = {label.strip(): text.strip() for label, text in merged["verbalizer"].items()}
        if len(options) < 2 or len(options) < len(merged["verbalizer"]):
            raise UserError("task.verbalizer: needs two or more labels, each with an option text of its own")
        by_text: dict[str, str] = {}
        for label, text in options.items():
            if text in by_text:
                raise UserError(
                    f"task.verbalizer: labels {by_text[text]} and {label} both stand for {text!r}; give each an option "
                    "text of its own"
                )
            by_text[text] = label
        if not all(options.values()):
            raise UserError("task.verbalizer: an option text is empty; the model is asked which one follows")
        return cls(objective, sources, template, None, merged["label"], options, "none")

    @property
    def used(self) -> dict[str, str]:
        """The columns that are read -> the key that asks for them."""
        asked = dict.fromkeys(self.template.columns, "task.template")
        if self.target:
            asked |= {c: "task.target" for c in self.target.columns if c not in asked}
        return asked if self.objective == "lm" else asked | {self.label: "task.label"}

    def check_columns(self, source: Source, present: Sequence[str]) -> None:
        """Raise `UserError` for a column that the source has not."""
        for column, key in self.used.items():
            if column not in present:
                near = suggest(column, present)
                raise UserError(f"{key}: no column '{column}' in {source} (it has {listed(present)}){near}")

    def option_of(self, label: Any, where: str) -> int:
        """The index of the option for a row's label. Raises `UserError` if there is none."""
        if label is None or (isinstance(label, str) and not label.strip()):
            raise UserError(f"{where}: column '{self.label}' has no label; mend or remove the row")
        known = list(self.options)
        for spelling in _spellings(label):
            if spelling in known:
                return known.index(spelling)
        plain = [_plain(text) for text in known]
        for spelling in _spellings(label):
            if _plain(spelling) in plain:
                return plain.index(_plain(spelling))
        raise self.unknown(f"'{str(label).strip()}'", where)

    def unknown(self, label: str, where: str) -> UserError:
        """What to raise for a label, as it is shown, that has no option."""
        return UserError(
            f"{where}: label {label} is not in task.verbalizer (it has {listed(list(self.options))}); add it there"
        )


def _objective(task: Task, merged: dict[str, Any]) -> Literal["classification", "lm"]:
    if task.verbalizer and task.target and not task.objective:
        raise UserError("task.target and task.verbalizer are both set; keep one, or say which by task.objective")
    objective = task.objective or ("lm" if task.target else "classification")  # explicit beats what the name brings
    if objective == "lm" and "target" not in merged:
        raise UserError("task.target: missing; objective lm learns this text, for example '{answer}'")
    if objective == "classification" and not merged.get("verbalizer"):
        raise UserError(
            'task.verbalizer: missing; set label -> option text, as in { 0 = "bad", 1 = "good" }, or task.target for '
            "objective lm"
        )
    return objective


def _spellings(label: Any) -> list[str]:
    """How a label may be written as a key of the verbalizer, most literal first."""
    text = str(label).strip()
    return [text, text.lower(), str(int(label))] if isinstance(label, bool) else [text]


def _plain(text: str) -> str:
    """The same for `1`, `1.0` and `01`, and for `True` and `true`."""
    return text.lower() if text.lower() in ("true", "false") else plain_number(text)
