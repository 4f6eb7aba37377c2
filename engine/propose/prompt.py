"""A prompt from the columns that a row has besides its answer: each behind its name, what is asked last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.propose.columns import Column

_FIRST = ("system", "title", "instruction", "passage", "context", "paragraph", "article", "document", "premise", "text")
_LAST = ("question", "query", "hypothesis", "answer")
_MOST = 8  # columns of which a prompt is made without asking whether all of them matter


class Prompt(NamedTuple):
    """A template, the columns in it, and what is to be checked."""

    template: str
    columns: list[str]
    checks: list[str]


def prompt_of(columns: Sequence[Column], ending: str, *, free: bool = False) -> Prompt | None:
    """The prompt that ends in `ending`; None where no column has a text for it.

    `free`: a text is written behind it, so that numbers are of the prompt as well, and a column `prompt` is all of it.
    """
    texts = [c for c in columns if c.full and not c.aside and c.holds == "text" and c.nameable]
    lists = [c for c in columns if c.full and not c.aside and c.holds == "texts" and "." not in c.name and free]
    numbers = [c for c in columns if c.full and not c.aside and c.holds in ("number", "truth") and "." not in c.name]
    wanted = [*texts, *lists] if texts and not free else [*texts, *lists, *numbers]
    order = [c.name for c in columns]
    chosen = sorted(wanted, key=lambda column: (_rank(column), order.index(column.name)))
    if not chosen:
        return None
    names = [column.name for column in chosen]
    checks = []
    if len(chosen) > _MOST:
        checks.append(f"{len(chosen)} columns are in the prompt; leave out of task.template what does not matter")
    keys = {column.key for column in chosen}
    if ending == "Label:" and keys & {"question", "query"} and "answer" not in keys:
        ending = "Answer:"
    if free and len(chosen) == 1 and chosen[0].key == "prompt":
        return Prompt(_field(chosen[0]), names, checks)
    if len(chosen) == 1 and chosen[0].key not in _LAST:
        return Prompt(f"{_field(chosen[0])}\n{ending}", names, checks)
    lines = [f"{column.title}: {_field(column)}" if all(column.texts) else _field(column) for column in chosen]
    return Prompt("\n".join([*lines, ending]), names, checks)


def _rank(column: Column) -> int:
    if column.key in _FIRST:
        return 0 if column.key not in ("text", "premise") else 1
    return 3 + _LAST.index(column.key) if column.key in _LAST else 2


def _field(column: Column) -> str:
    return f"{{{column.name}:listed}}" if column.holds == "texts" else f"{{{column.name}}}"
