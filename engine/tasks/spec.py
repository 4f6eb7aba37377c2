"""What a task asks: its kind, its template, its options, and which of them a row says is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine.errors import UserError
from engine.preset.task import Kind, Task
from engine.tasks.builtin import BUILTIN
from engine.tasks.classes import plain_number
from engine.tasks.kinds import check_keys, kind_of
from engine.tasks.sources import Source
from engine.tasks.table import Column, source_of
from engine.tasks.template import Template
from engine.text import listed, suggest

Split = Literal["train", "validation", "test"]
_GENERATE_TOKENS = 50  # as MeZO
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class TaskSpec:
    """A task with everything that its name brings, and what it asks to be predicted."""

    kind: Kind
    sources: dict[str, str]  # by split
    sizes: dict[str, int | None]  # by split: how many examples are wanted
    as_mezo: bool  # whether they are drawn as MeZO draws them
    too_long: Literal["refuse", "truncate", "skip"]
    template: Template | None  # none of kind text
    join: str | None  # between prompt and option; None: as the template's end has it
    target: Template | None  # of kinds generation and text
    label: str
    options: dict[str, str]  # of a classification: label -> option text
    choices: tuple[Template, ...]  # of a multiple choice
    answers: str  # the column of what is right
    end: Literal["eos", "none"]  # what a target ends in
    messages: str  # the column of conversations
    shots: int  # demonstrations before every prompt
    domain: Template | None  # the prompt that an evaluation calibrates by, if it does
    generated: int | None  # for how many examples an evaluation generates a text; None: all
    generate_tokens: int  # of such a text, at most

    @classmethod
    def of(cls, task: Task) -> TaskSpec:
        """A preset's task with what its name brings. Raises `UserError` where something is missing or contradictory."""
        builtin = BUILTIN[task.name] if task.name else None
        brought = builtin.keys if builtin else {}
        kind = kind_of(task, brought)
        check_keys(task, kind)
        merged = {**brought, **task.model_dump(exclude_none=True)}
        if kind != "text" and "template" not in merged:
            raise UserError(
                "task.template: missing; the prompt, for example '{sentence} It was'; or set task.kind=text for texts "
                "without one"
            )
        varies = kind in ("classification", "multiple-choice")  # of the others the target does
        template = None if kind == "text" else Template("task.template", merged["template"], varies=varies)
        choices: tuple[Template, ...] = ()
        options: dict[str, str] = {}
        target = None
        if kind == "multiple-choice":
            choices = tuple(Template("task.choices", text, varies=True) for text in _choices(merged))
        elif kind == "classification":
            options = _options(merged)
        elif "messages" not in merged:
            if "target" not in merged:
                raise UserError(f"task.target: missing; kind {kind} learns this text, for example '{{answer}}'")
            target = Template("task.target", merged["target"], varies=True)
        return cls(
            kind=kind,
            sources={s: merged[s] for s in SPLITS if s in merged},
            sizes={s: merged.get(f"{s}_examples") for s in SPLITS},
            as_mezo=builtin is not None and builtin.drawn == "mezo",
            too_long=merged.get("too_long", "refuse"),
            template=template,
            join=merged.get("join"),
            target=target,
            label=_label(merged, kind, task),
            options=options,
            choices=choices,
            answers=_answers(merged, kind, task),
            end=merged.get("end", "none") if target else "none",
            messages=merged.get("messages", "") if kind == "text" else "",
            shots=merged.get("shots", 0) if kind != "text" else 0,
            domain=_domain(merged, kind),
            generated=merged.get("generate_examples", _generated(task, brought, kind)),
            generate_tokens=merged.get("generate_tokens", _GENERATE_TOKENS),
        )

    @property
    def objective(self) -> Literal["classification", "lm"]:
        """What is trained: the right option among the options, or how likely a text is."""
        return "classification" if self.kind == "classification" else "lm"

    @property
    def used(self) -> dict[str, str]:
        """The columns that are read -> the key that asks for them. Those that may hold lists are `Column`s."""
        asked: dict[str, str] = {}
        lists = {self.answers} - {""}
        if len(self.choices) == 1:
            lists |= set(self.choices[0].columns)
        for template in (self.template, self.target, self.domain, *self.choices):
            lists |= set(template.lists if template else ())

        def ask(names: Sequence[str], key: str) -> None:
            for name in names:
                column = Column(name, "texts") if name in lists else name
                asked.setdefault(column, key)

        ask(self.template.columns if self.template else [], "task.template")
        ask(self.target.columns if self.target else [], "task.target")
        for choice in self.choices:
            ask(choice.columns, "task.choices")
        ask(self.domain.columns if self.domain else [], "task.domain")
        if self.messages:
            asked[Column(self.messages, "messages")] = "task.messages"
        ask([self.label] if self.label else [], "task.label")
        ask([self.answers] if self.answers else [], "task.answers")
        return asked

    def check_columns(self, source: Source, present: Sequence[str]) -> None:
        """Raise `UserError` for a column that the source has not."""
        for column, key in self.used.items():
            if not source_of(column, present):
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


def _options(merged: dict[str, Any]) -> dict[str, str]:
    if not merged.get("verbalizer"):
        raise UserError(
            'task.verbalizer: missing; set label -> option text, as in { 0 = "bad", 1 = "good" }; or task.choices, or '
            "task.target, for another kind of task"
        )
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
    return options


def _choices(merged: dict[str, Any]) -> list[str]:
    found: list[str] = merged.get("choices", [])
    if not found:
        raise UserError(
            "task.choices: missing; a template for each choice, as in ['{choice1}', '{choice2}'], or one of a column "
            "that holds a list, '{choices}'"
        )
    return found


def _label(merged: dict[str, Any], kind: Kind, task: Task) -> str:
    if kind == "classification" and not merged.get("label"):
        raise UserError("task.label: missing; the column that holds the label")
    if kind == "classification" or (kind == "multiple-choice" and not task.answers):
        return str(merged.get("label", ""))
    return ""


def _answers(merged: dict[str, Any], kind: Kind, task: Task) -> str:
    if kind == "generation":
        return str(merged.get("answers", ""))
    if kind != "multiple-choice":
        return ""
    if task.label and task.answers:
        raise UserError("task.label and task.answers are both set; keep the one that says which choice is right")
    if not merged.get("label") and not merged.get("answers"):
        raise UserError(
            "task.label: missing; the column that holds the number of the right choice, or task.answers for that of "
            "its text"
        )
    return "" if task.label or not merged.get("answers") else str(merged["answers"])


def _domain(merged: dict[str, Any], kind: Kind) -> Template | None:
    if merged.get("calibration", "none") == "none" or kind not in ("classification", "multiple-choice"):
        return None
    return Template("task.domain", merged.get("domain", ""), varies=False)


def _generated(task: Task, brought: Mapping[str, Any], kind: Kind) -> int | None:
    """For how many examples a text is generated where the preset does not say.

    None of them where the kind is only meant, by a target: older presets, whose evaluations know the loss alone.
    """
    return None if kind == "generation" in (task.kind, brought.get("kind")) else 0


def _spellings(label: Any) -> list[str]:
    """How a label may be written as a key of the verbalizer, most literal first."""
    text = str(label).strip()
    return [text, text.lower(), str(int(label))] if isinstance(label, bool) else [text]


def _plain(text: str) -> str:
    """The same for `1`, `1.0` and `01`, and for `True` and `true`."""
    return text.lower() if text.lower() in ("true", "false") else plain_number(text)
