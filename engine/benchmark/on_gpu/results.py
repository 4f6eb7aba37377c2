"""What a part found, as its process says it, and as the folder keeps it: one file a part."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

Outcome = Literal["passed", "failed", "skipped"]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a part's process says at its end."""

    outcome: Outcome
    text: str  # one line: what was found, or why nothing was
    figures: dict[str, Any] = {}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A part that is over, whichever way."""

    part: str
    outcome: Outcome
    text: str
    figures: dict[str, Any] = {}
    seconds: float  # wall-clock of the part
    at: str  # local time of its end


class Skipped(Exception):
    """What a part is about is not to be had here, by no fault of anything; the text is one line that says why."""


def verdict(passed: bool, text: str, **figures: Any) -> Found:
    """What a part found out."""
    return Found(outcome="passed" if passed else "failed", text=text, figures=figures)


def read(folder: Path, part: str) -> Result | None:
    """The result of a part; None if it never came to one, or if its file is not whole."""
    try:
        return msgspec.json.decode((folder / f"{part}.json").read_bytes(), type=Result)
    except (OSError, msgspec.DecodeError):
        return None


def write(folder: Path, result: Result) -> None:
    """Keep a result, whole or not at all."""
    file = folder / f"{result.part}.json"
    aside = file.with_suffix(".new")
    aside.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1))
    aside.replace(file)
