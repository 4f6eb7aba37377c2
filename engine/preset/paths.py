"""A path as a preset writes it. A name is what it says, unless it is a pattern and nothing has that very name."""

from __future__ import annotations

import fnmatch
from pathlib import Path

_PARQUET = ".parquet"
TEXT_KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
"""What the names of data files end in that are text; `.gz` may follow."""


def kind_of(path: Path) -> str:
    """Which of the known kinds of data a file is by its name, without `.gz`; or nothing."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes[-1:] == [".gz"]:
        return suffixes[0] if suffixes[0] in TEXT_KINDS else ""
    return suffixes[-1] if suffixes and suffixes[-1] in (*TEXT_KINDS, _PARQUET) else ""


def local(text: str) -> Path:
    """The path that `text` means: `~` is the home folder, unless something here is called so."""
    path = Path(text)
    if text.startswith("~") and not _exists(path):
        try:
            return path.expanduser()
        except RuntimeError:  # nobody of that name
            return path
    return path


def there(path: Path) -> bool:
    """Whether a path leads to something: a file, a folder, or files that its pattern names."""
    return _exists(path) or bool(matching(path))


def matching(path: Path) -> list[Path]:
    """The Parquet files that a pattern such as `train-*.parquet` names, by name; none where `path` is no pattern.

    Stars and question marks of the file's name alone mean others: brackets and the names of folders are letters.
    """
    if not is_pattern(path):
        return []
    pattern = path.name.replace("[", "[[]")
    return [found for found in parquet_files(path.parent) if fnmatch.fnmatchcase(found.name, pattern)]


def is_pattern(path: Path) -> bool:
    """Whether a path can be read as a pattern: nothing has that name, and it asks for Parquet files."""
    return path.suffix.lower() == _PARQUET and any(mark in path.name for mark in "*?") and not _exists(path)


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files that lie in a folder itself, by name, without hidden ones."""
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() == _PARQUET and path.is_file()]
    except OSError:  # no folder, or one that may not be read
        return []
    return sorted(path for path in found if not path.name.startswith("."))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long for a file is none
        return False
