"""What a path can go on with: folders, and files of the kinds that can be read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from engine.preset.paths import kind_of, local

_MOST = 200  # offered at a time; a letter more makes them fewer


def offered(text: str, *, files: bool = True) -> list[str]:
    """The paths that begin with what was typed, spelt as it was typed, folders with a slash; `~` is the home folder.

    What is hidden is offered once its dot is typed. Without `files`, folders alone.
    """
    if text == "~":
        return ["~/"]
    typed, slash, begun = text.rpartition("/")
    try:
        found = sorted(local(f"{typed}{slash}" or ".").iterdir(), key=lambda path: (path.name.lower(), path.name))
    except OSError:  # no folder, or one that may not be read
        return []
    there = [path for path in found if path.name.startswith(begun) and (begun or not path.name.startswith("."))]
    named = [_named(path, files=files) for path in there]
    return [f"{typed}{slash}{name}" for name in named if name][:_MOST]


def completed(text: str, offers: Sequence[str]) -> str:
    """What was typed, as far on as all that is offered goes the same way."""
    letters = takewhile(lambda several: len(set(several)) == 1, zip(*offers, strict=False))
    return "".join(several[0] for several in letters) or text


def _named(path: Path, *, files: bool) -> str:
    try:
        if path.is_dir():
            return f"{path.name}/"
        return path.name if files and kind_of(path) and path.is_file() else ""
    except OSError:
        return ""
