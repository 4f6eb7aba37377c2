"""What a template may do to a column's text: small functions by name, and replacements, one after the other.

`{question:question|capital}` is the question with a question mark at its end and a capital at its beginning;
`{passage:@highlight=-}` has every `@highlight` replaced; what stands behind the sign may be a column,
`{query:@placeholder={entity}}`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.text import listed, suggest


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _uncapital(text: str) -> str:
    """The first word in small letters, but for "I" (as MeZO joins COPA's choices to their premise)."""
    first, space, rest = text.partition(" ")
    return text if first == "I" else f"{first.lower()}{space}{rest}"


def _question(text: str) -> str:
    return text if text.endswith("?") else f"{text}?"


def _stopless(text: str) -> str:
    return text.removesuffix(".")


RAW = "raw"  # the text as it is in the file, white space around it included
LISTED = "listed"  # all elements of a column that holds a list, with commas; without it a list's first is taken
FUNCTIONS: dict[str, Callable[[str], str]] = {
    RAW: str,
    LISTED: str,
    "lower": str.lower,
    "capital": _capital,
    "uncapital": _uncapital,
    "question": _question,
    "stopless": _stopless,
}


@dataclass(frozen=True)
class Step:
    """One thing that is done to a text: a function, or a replacement by a text or by a column."""

    function: str = ""
    old: str = ""
    new: str = ""
    column: str = ""

    def on(self, text: str, of_column: Callable[[str], str]) -> str:
        """The text after it; `of_column` gives the text of another column."""
        if self.function:
            return FUNCTIONS[self.function](text)
        return text.replace(self.old, of_column(self.column) if self.column else self.new)


def steps_of(spec: str) -> list[Step]:
    """What follows the colon in a template's field. Raises `ValueError` for what is neither."""
    return [_step(part) for part in spec.split("|")] if spec else []


def _step(part: str) -> Step:
    old, sign, new = part.partition("=")
    if not sign:
        if part not in FUNCTIONS:
            raise ValueError(f"'{part}' is no function of a text ({listed(list(FUNCTIONS))}){suggest(part, FUNCTIONS)}")
        return Step(function=part)
    if not old:
        raise ValueError("a replacement is old=new, as in {passage:@highlight=-}")
    if new.startswith("{") and new.endswith("}") and len(new) > 2:
        return Step(old=old, column=new[1:-1])
    return Step(old=old, new=new)
