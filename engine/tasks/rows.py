"""From a row to what is tokenised: prompt and options filled in, and which of them are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.errors import UserError
from engine.tasks.chat import render
from engine.tasks.choices import choices_of, right_by_number, right_by_text
from engine.tasks.classes import Classes
from engine.tasks.sources import Source
from engine.tasks.spec import TaskSpec
from engine.tasks.table import Table, written
from engine.tasks.template import Filled
from engine.tasks.tokenize import Encoder, Raw
from engine.text import listed

_BETWEEN_SHOTS = "\n\n"  # as MeZO joins demonstrations


@dataclass(frozen=True)
class Rows:
    """Rows of a source by their index in it."""

    source: Source
    data: Table
    indices: Sequence[int]
    classes: Classes | None = None  # of the label, where its numbers have names


class Filling:
    """Fills a task's template and options from rows, as its encoder's rules have it."""

    def __init__(self, spec: TaskSpec, encoder: Encoder) -> None:
        self._spec, self._encoder = spec, encoder
        self._options = [Filled(text) for text in spec.options.values()]
        # White space before a BOS token of the template's is dropped, so that it is the only one.
        begins = spec.template is not None and encoder.begins_by(spec.template)
        self._before = None if begins else ""
        self._shots: Filled | None = None
        #: What stands between prompt and option.
        self.join = spec.join if spec.join is not None else encoder.join(spec.template.text if spec.template else "")

    def demonstrate(self, rows: Rows) -> None:
        """Have these rows, with what is right of them, stand before every prompt from now on, as MeZO joins them."""
        shots = Filled("")
        for index in rows.indices:
            raw = self._raw(rows, index, trained=True)
            prompt = raw.prompt.stripped(right=" " if self.join.startswith(" ") else "")
            shot = prompt.before(raw.options[raw.label], self.join).stripped(left=None, right=None)
            shots = shots.before(shot, _BETWEEN_SHOTS if shots.text else "")
        self._shots = shots

    def raw(self, rows: Rows, index: int, *, trained: bool, generated: bool = False) -> Raw:
        """A row. Raises `UserError`.

        Of a multiple choice that is `trained` on, the right option alone; with the answers, where a text is to be
        `generated` for it.
        """
        found = self._raw(rows, index, trained=trained, generated=generated)
        if self._spec.domain and not trained:
            domain = self._spec.domain.fill(rows.data.row(index), found.where)
            found = replace(found, domain=self._behind_shots(domain))
        return replace(found, prompt=self._behind_shots(found.prompt))

    def _behind_shots(self, prompt: Filled) -> Filled:
        return self._shots.before(prompt, _BETWEEN_SHOTS).stripped(left=None) if self._shots else prompt

    def _raw(self, rows: Rows, index: int, *, trained: bool, generated: bool = False) -> Raw:
        spec, row, where = self._spec, rows.data.row(index), rows.data.where(index)
        if spec.messages:
            if not row[spec.messages]:
                raise UserError(f"{where}: column '{spec.messages}' holds no message; mend or remove the row")
            chat = render(row[spec.messages], self._encoder.tokenizer, where)
            return Raw(where, Filled(""), [chat.text], 0, learned=chat.learned)
        prompt = self._prompt(rows, index)
        if spec.kind == "classification":
            return Raw(where, prompt, self._options, self._label(rows, index))
        if spec.kind == "multiple-choice":
            found = replace(self._choices(rows, index, prompt), likely=True)
            return replace(found, options=[found.options[found.label]], label=0, right=()) if trained else found
        assert spec.target is not None
        # What it ends in is learned, as in "{answer}\n".
        target = spec.target.fill(row, where).stripped(left=None, right="" if self._encoder.by_later_rules else None)
        if not target.text.strip():
            raise UserError(f"{where}: task.target is empty there; mend or remove the row")
        if not generated:
            return Raw(where, prompt, [target], 0)
        answers = self._answers(rows, index) if spec.answers else (target.text.strip(),)
        return Raw(where, prompt, [target], 0, answers=answers)

    def _prompt(self, rows: Rows, index: int) -> Filled:
        template = self._spec.template
        if template is None:
            return Filled("")
        where = rows.data.where(index)
        prompt = template.fill(rows.data.row(index), where).stripped(left=self._before, right="")
        if self._encoder.by_later_rules and template.columns and not prompt.data:
            raise UserError(f"{where}: {_without_text(template.columns)}; mend or remove the row")
        return prompt

    def _label(self, rows: Rows, index: int) -> int:
        spec, where = self._spec, rows.data.where(index)
        label = rows.data.columns[spec.label][index]
        assert not isinstance(label, tuple)
        if rows.classes and (number := rows.classes.number_of(label)):
            if number not in rows.classes.keys:
                raise spec.unknown(rows.classes.shown(number), where)
            label = rows.classes.keys[number]
        return spec.option_of(label, where)

    def _choices(self, rows: Rows, index: int, prompt: Filled) -> Raw:
        spec, where = self._spec, rows.data.where(index)
        choices = choices_of(spec.choices, rows.data.row(index), where)
        if spec.answers:
            right = right_by_text(self._answers(rows, index), choices, spec.answers, where)
        else:
            label = written(rows.data.columns[spec.label][index])
            right = (right_by_number(str(label or ""), len(choices.options), spec.label, where),)
        return Raw(where, prompt, choices.options, right[0], right if len(right) > 1 else ())

    def _answers(self, rows: Rows, index: int) -> tuple[str, ...]:
        """Every text that is right. Raises `UserError` where there is none."""
        column = self._spec.answers
        value = written(rows.data.columns[column][index])
        texts = tuple(str(text) for text in value) if isinstance(value, tuple) else (value or "",)
        if not any(text.strip() for text in texts):
            raise UserError(f"{rows.data.where(index)}: column '{column}' holds no answer; mend or remove the row")
        return texts


def _without_text(columns: Sequence[str]) -> str:
    names = [f"'{column}'" for column in dict.fromkeys(columns)]
    return f"column {names[0]} has no text" if len(names) == 1 else f"columns {listed(names)} have no text"
