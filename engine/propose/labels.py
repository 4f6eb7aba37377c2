"""Which column is the label, and what text stands for each of its values."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from engine.propose.columns import Column
from engine.tasks.classes import plain_number
from engine.text import listed

_LABELS = (
    "label", "labels", "gold_label", "class", "category", "sentiment", "emotion", "intent", "topic", "stance", "gold",
    "rating", "stars", "score", "y", "target", "answer", "output", "response", "completion",
)  # fmt: skip
_ANSWERS = ("target", "answer", "output", "response", "completion")  # labels where they are few words that come again
_MOST = 50  # labels of a column that is called one
_FEW = 10  # of one that is not
_LETTERS = 40  # of a label


def label_among(columns: Sequence[Column], given: str = "") -> Column | None:
    """The column of labels: the `given` one, else by its name, else the one whose words come again and again."""
    if given:
        return next(column for column in columns if column.name == given)
    fitting = [column for column in columns if _fits(column)]
    named = [column for column in fitting if is_label(column)]
    if named:
        return min(named, key=lambda column: (column.key not in _LABELS, _place(column)))
    others = [column for column in fitting if column.holds != "number"]
    return others[0] if len(others) == 1 else None


def verbalizer_of(label: Column, names: Sequence[str], named: Collection[str]) -> tuple[dict[str, str], str]:
    """The text of each label, and what is to be checked about them; empty if nothing. Some are `named` already."""
    different: dict[str, str] = {}
    for text in label.distinct:
        different.setdefault(plain_number(text), text)
    labels = list(different.values())
    if names:
        return {str(number): name for number, name in enumerate(names)}, ""
    verbalizer = {text: text for text in labels}
    unnamed = [text for text in labels if text not in named]
    if label.holds == "number" and unnamed:
        return verbalizer, (
            f"the labels of '{label.name}' are numbers, and the model is asked for these very numbers: name what each "
            f"stands for, as in --set task.verbalizer.{unnamed[0]}=TEXT"
        )
    folded = [text.lower() for text in labels]
    if twice := sorted({text for text in labels if folded.count(text.lower()) > 1}):
        return verbalizer, f"labels that differ in capitals alone are labels of their own: {listed(twice)}"
    return verbalizer, ""


def _fits(column: Column) -> bool:
    if column.holds not in ("text", "number", "truth") or not column.full or (column.aside and not is_label(column)):
        return False
    count, rows = len(column.distinct), len(column.values)
    whole = column.holds != "number" or all(plain_number(text).lstrip("+-").isdecimal() for text in column.distinct)
    short = all(len(text) <= _LETTERS and "\n" not in text for text in column.distinct)
    if not is_label(column) or column.key in _ANSWERS:
        return 2 <= count <= min(_FEW, rows // 5) and whole and short
    return 2 <= count <= min(_MOST, rows // 2) and whole and short


def is_label(column: Column) -> bool:
    """Whether its name says so."""
    key = column.key
    return key in _LABELS or key.startswith(("label_", "is_")) or key.endswith(("_label", "_class", "_category"))


def _place(column: Column) -> int:
    return _LABELS.index(column.key) if column.key in _LABELS else len(_LABELS)
