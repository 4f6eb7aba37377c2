"""Labels that are numbers of classes with names: a verbalizer may call them by either."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.errors import UserError


@dataclass(frozen=True)
class Classes:
    """The classes of a column, and which of them a verbalizer has."""

    names: Sequence[str]
    keys: dict[str, str]  # of the verbalizer, by a class's number as text

    @classmethod
    def of(cls, names: Sequence[str], keys: Iterable[str], where: str) -> Classes:
        """Raises `UserError` where it is not plain which class a key of the verbalizer means (`keys_of`)."""
        return cls(names, keys_of(names, keys, where))

    def number_of(self, label: str | bool | None) -> str:
        """The number of the class that a value is, as text; empty if it is none."""
        number = str(int(label)) if isinstance(label, bool) else plain_number((label or "").strip())
        return number if number.isascii() and number.isdecimal() and int(number) < len(self.names) else ""

    def shown(self, number: str) -> str:
        """A class for people: `0 ('Negative')`."""
        return f"{number} ('{self.names[int(number)]}')"


def plain_number(text: str) -> str:
    """The same for `1`, `1.0` and `01`; other text as it is."""
    number = re.fullmatch(r"([+-]?\d{1,18})(\.0*)?", text)
    return str(int(number[1])) if number else text


def keys_of(names: Sequence[str], keys: Iterable[str], where: str) -> dict[str, str]:
    """For each number of a class, as text, the key of the verbalizer that means it.

    A key is the number or the name of a class. Raises `UserError` where one is the number of a class and the name
    of another, and it does not follow from the other keys which is meant; and where two mean the same class.
    """
    by_number = {str(number): number for number in range(len(names))}
    by_name = {name.strip(): number for number, name in enumerate(names)}
    keys = list(keys)
    meant = by_name | by_number
    unsure = [key for key in keys if key in by_number and by_name.get(key, by_number[key]) != by_number[key]]
    if unsure:
        fits = [reading for reading in (by_name, by_number) if all(key in reading for key in keys)]
        if len(fits) != 1:
            raise UserError(
                f"task.verbalizer: '{unsure[0]}' is the number of one class of {where} and the name of another "
                f"({', '.join(names)}); give a column in which it is but one of them"
            )
        meant = fits[0]
    found: dict[str, str] = {}
    for key in keys:
        number = meant.get(key, by_number.get(plain_number(key)))
        if number is not None and (other := found.setdefault(str(number), key)) != key:
            raise UserError(f"task.verbalizer: '{other}' and '{key}' are the same class of {where}; keep one")
    return found
