"""Labels that are numbers of classes with names: a verbalizer may call them by either."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.errors import UserError


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
        if key in meant and found.setdefault(str(meant[key]), key) != key:
            other = found[str(meant[key])]
            raise UserError(f"task.verbalizer: '{other}' and '{key}' are the same class of {where}; keep one")
    return found
