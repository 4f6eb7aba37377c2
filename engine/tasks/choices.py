"""The options of a multiple choice: those of a row, and which of them are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from engine.errors import UserError
from engine.tasks.classes import plain_number
from engine.tasks.template import Filled, Template
from engine.text import listed


class Choices(NamedTuple):
    """The options of a row, and what each is called by a row that names the right one by its text."""

    options: list[Filled]
    names: list[str]


def choices_of(templates: Sequence[Template], row: Mapping[str, Any], where: str) -> Choices:
    """A choice for each template; or of one, for every element of the list that its column holds.

    Raises `UserError` where there are fewer than two, or one is empty.
    """
    if len(templates) == 1:
        options, names = _of_list(templates[0], row, where)
    else:
        options = [template.fill(row, where) for template in templates]
        names = [_only_text(template, row, option) for template, option in zip(templates, options, strict=True)]
    options = [option.stripped(left=None, right=" ") for option in options]
    if len(options) < 2:
        raise UserError(f"{where}: has {len(options)} choice{'s' * (len(options) != 1)}, two are the least; remove it")
    if not all(option.text for option in options):
        raise UserError(f"{where}: a choice is empty; mend or remove the row")
    return Choices(options, names)


def _of_list(template: Template, row: Mapping[str, Any], where: str) -> tuple[list[Filled], list[str]]:
    lists = [column for column in dict.fromkeys(template.columns) if isinstance(row[column], tuple)]
    if not lists:
        missing = [column for column in template.columns if row[column] is None]
        of = missing[0] if missing else template.columns[-1]
        why = "has no value" if missing else "is one text"
        raise UserError(f"{where}: column '{of}' {why}; one template for all choices needs a list")
    lengths = {len(row[column]) for column in lists}
    if len(lengths) > 1:
        raise UserError(f"{where}: columns {listed(lists)} hold lists of different lengths; mend or remove the row")
    filled = [
        template.fill({**row, **{column: row[column][number] for column in lists}}, where)
        for number in range(lengths.pop())
    ]
    return filled, [name.strip() for name in row[lists[0]]]


def _only_text(template: Template, row: Mapping[str, Any], option: Filled) -> str:
    """What a choice is called: the text of its column, where it is made of one."""
    columns = list(dict.fromkeys(template.columns))
    return str(row[columns[0]]).strip() if len(columns) == 1 else option.text.strip()


def right_by_number(label: str, count: int, column: str, where: str) -> int:
    """The choice that a number from 0, or a letter from A, says. Raises `UserError` for anything else."""
    text = label.strip()
    if not text:
        raise UserError(f"{where}: column '{column}' has no label; mend or remove the row")
    number = plain_number(text)
    if number.isascii() and number.isdecimal() and int(number) < count:
        return int(number)
    if len(text) == 1 and "A" <= text.upper() <= "Z" and ord(text.upper()) - ord("A") < count:
        return ord(text.upper()) - ord("A")
    raise UserError(
        f"{where}: label '{text}' is none of {count} choices; write its number from 0, or its letter from A, or name "
        "the column of its text as task.answers"
    )


def right_by_text(answers: Sequence[str], choices: Choices, column: str, where: str) -> tuple[int, ...]:
    """The choices that have these texts, that of the first answer first. Raises `UserError` where one is missing."""
    if not answers:
        raise UserError(f"{where}: column '{column}' holds no answer; mend or remove the row")
    found = []
    for answer in answers:
        if answer.strip() not in choices.names:
            raise UserError(
                f"{where}: answer '{answer.strip()}' is none of its choices ({listed(choices.names, 5)}); mend or "
                "remove the row"
            )
        found.append(choices.names.index(answer.strip()))
    return tuple(dict.fromkeys(found))
