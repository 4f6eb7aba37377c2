"""What the columns of a file hold, as far as their values tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

Holds = Literal["text", "number", "truth", "texts", "messages", "nothing", "other"]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_UNNAMEABLE = re.compile(r"[{}:!|=]")  # what a template reads otherwise than as letters of a name
_ASIDE = re.compile(
    r"id|idx|index|uid|guid|uuid|urls?|links?|date|time|timestamp|split|source|lang|language|licen[cs]e|unnamed.*|"
    r".*_(id|idx|index|uuid|start|end|url|at|date)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Column:
    """One column, or what its objects hold under a key (`answers.text`).

    Attributes: values, a row each, None where there is none.
    """

    name: str
    holds: Holds
    values: Sequence[Any]

    @property
    def key(self) -> str:
        """Its name as rules compare it: the last part, in small letters, with underscores."""
        bare = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", self.name)
        return re.sub(r"[\s-]+", "_", bare.strip()).lower()

    @property
    def title(self) -> str:
        """Its name as a heading of a prompt: `Review text`, `Sentence 1`."""
        words = re.sub(r"(?<=[a-z])(?=\d)", " ", self.key.partition(".")[0].replace("_", " "))
        return "Answer" if words.startswith("answers") else words[:1].upper() + words[1:]

    @cached_property
    def texts(self) -> list[str]:
        """What is there, as text: of a list its elements."""
        found: list[str] = []
        for value in self.values:
            if isinstance(value, list):
                found += [one for one in value if isinstance(one, str)]
            elif value is not None:
                found.append(written(value))
        return found

    @cached_property
    def distinct(self) -> list[str]:
        """The different ones of them, numbers by size and words by the alphabet."""
        different = set(self.texts) - {""}
        return sorted(different, key=lambda text: (float(text), text) if _NUMBER.fullmatch(text) else (0.0, text))

    @property
    def full(self) -> bool:
        """Whether every row has something there; an empty text is something."""
        return all(value is not None for value in self.values)

    @property
    def mean_length(self) -> float:
        """Characters of a text."""
        return sum(map(len, self.texts)) / max(1, len(self.texts))

    @property
    def aside(self) -> bool:
        """Whether it is about a row, and not of it: its number, its address, or the same in all of them."""
        if _ASIDE.fullmatch(self.key.rpartition(".")[2]):
            return True
        return len(self.values) > 1 and self.holds in ("text", "number", "truth") and len(set(self.texts)) < 2

    @property
    def nameable(self) -> bool:
        """Whether a template can name it."""
        return bool(self.name.strip()) and self.name == self.name.strip() and not _UNNAMEABLE.search(self.name)


def columns_of(values: Mapping[str, Sequence[Any]]) -> list[Column]:
    """Every column, objects as what they hold."""
    return [column for name, some in values.items() for column in _columns(name, some)]


def written(value: Any) -> str:
    """A value as a template writes it."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value).strip()


def same_rows(one: Column, other: Column) -> bool:
    """Whether each value of one stands beside one value of the other alone: two spellings of the same."""
    pairs = {(written(a), written(b)) for a, b in zip(one.values, other.values, strict=True)}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _columns(name: str, values: Sequence[Any]) -> Iterator[Column]:
    there = [value for value in values if value is not None]
    if there and all(isinstance(value, dict) for value in there):
        for key in dict.fromkeys(key for value in there for key in value):
            yield Column(f"{name}.{key}", *_held([value and value.get(key) for value in values]))
        return
    yield Column(name, *_held(values))


def _held(values: Sequence[Any]) -> tuple[Holds, Sequence[Any]]:
    there = [value for value in values if value is not None and value != ""]
    tests: dict[Holds, Callable[[Any], bool]] = {
        "truth": lambda value: isinstance(value, bool),
        "number": lambda value: isinstance(value, str) and bool(_NUMBER.fullmatch(value.strip())),
        "text": lambda value: isinstance(value, (str, bool)),
        "texts": lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
        "messages": lambda value: isinstance(value, list) and all(_is_turn(one) for one in value),
    }
    if not any(value or value is False for value in there):
        return "nothing", values
    return next((kind for kind, fits in tests.items() if all(map(fits, there))), "other"), values


def _is_turn(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("role", "content"))
