"""Where examples come from: local files, and data sets of the Hugging Face hub.

A local file is read as it is at that moment, by the kind that its name says (`engine/tasks/files/`); of the columns
only those that are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.errors import UserError
from engine.preset.paths import TEXT_KINDS, is_pattern, kind_of, local, matching, parquet_files, there
from engine.tasks import hub_sets
from engine.tasks.files import delimited, json_lines, json_list, parquet
from engine.tasks.table import Check, Table
from engine.text import listed, suggest

_KINDS = f"{', '.join(TEXT_KINDS)}, all of them also as .gz, or .parquet"
_HUB_ID = re.compile(r"(?P<name>\w[\w.-]*(?:/\w[\w.-]*)?)(?::(?P<config>[^@:]+))?@(?P<split>.+)")


# What names of files call a split, between other signs than letters.
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "eval"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_SPLIT = re.compile(rf"(?<![a-z])(?:{'|'.join(_SPLITS)})(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """One split of a task: local files of one kind, or a hub id `name[:config]@split`."""

    key: str  # the preset's key, for messages
    text: str  # as the user wrote it
    paths: tuple[Path, ...] = ()
    name: str = ""
    config: str | None = None
    split: str = "train"

    def __str__(self) -> str:
        return self.text

    @property
    def kind(self) -> str:
        """What the file's name ends in, without `.gz`."""
        return kind_of(self.paths[0])

    @property
    def files(self) -> list[tuple[Path, str]]:
        """Every file, and what messages call it."""
        if len(self.paths) == 1 and self.paths[0].is_file() and Path(self.text).name == self.paths[0].name:
            return [(self.paths[0], self.text)]
        return [(path, str(path)) for path in self.paths]


def parse(key: str, text: str) -> Source:
    """Tell local files from a hub id. Raises `UserError`: for a file that is missing or of no known kind, files of
    different splits, a blank.

    A folder of Parquet files, and a pattern for some, are one source if they are written as one.
    """
    if not text.strip():  # the path of that name is the current folder
        raise UserError(f"{key}: is empty; set it to a file or a hub id name[:config]@split")
    path = local(text)
    if there(path):
        if paths := _folder(path, key, text) if path.is_dir() else matching(path):
            _check_one_split(paths, key, text)
            return Source(key, text, paths=tuple(paths))
        if not kind_of(path):
            raise UserError(f"{key}: {text}: unknown kind of file; give one of {_KINDS}")
        if not path.is_file():
            raise UserError(f"{key}: {text}: is not a file that can be read again; save it as one")
        return Source(key, text, paths=(path,))
    if is_pattern(path):
        raise UserError(f"{key}: {text}: no such file, and no Parquet file that it is a pattern of{_neighbour(path)}")
    if kind_of(path):
        raise UserError(f"{key}: {text}: no such file{_neighbour(path)}")
    found = _HUB_ID.fullmatch(text)
    if not found:
        raise UserError(f"{key}: {text}: neither a file ({_KINDS}) nor a hub id name[:config]@split")
    return Source(key, text, name=found["name"], config=found["config"], split=found["split"])


def split_of(path: Path) -> str:
    """The split that a file's name says it is of; empty where it says none."""
    found = _SPLIT.search(path.stem)
    return _SPLITS[found[0].lower()] if found else ""


def beside(path: Path, split: str) -> Path | None:
    """The file of another split in the same folder, by its name: of `a-train.csv` `a-validation.csv` or `a-dev.csv`."""
    names = (_SPLIT.sub(word, path.name, count=1) for word, of in _SPLITS.items() if of == split)
    return next((other for name in names if (other := path.with_name(name)) != path and other.is_file()), None)


def columns(source: Source, wanted: Sequence[str]) -> list[str] | None:
    """The columns of local files where they are cheap to know, else None. Raises `UserError` for a damaged one.

    Those that are `wanted` tell how a header is to be read.
    """
    if not source.paths or source.kind == ".json":
        return None
    _check_size(source)
    path, name = source.files[0]
    if source.kind == ".parquet":
        return parquet.columns(source.files)
    if source.kind in (".csv", ".tsv"):
        return delimited.columns(path, wanted, name)
    found = json_lines.columns(path, wanted, name)
    if found == []:
        raise UserError(f"{source}: has no rows; {source.key} needs at least one")
    return found


def read(source: Source, wanted: Sequence[str], check: Check) -> Table:
    """All rows, of the `wanted` columns. Raises `UserError` if they cannot be read or there are none.

    `check` is told the columns that are there, and raises where one is missing.
    """
    if source.paths:
        _check_size(source)
        found = _read_files(source, wanted, check)
    else:
        found = hub_sets.read(source.name, source.config, source.split, wanted, check, key=source.key)
    if not len(found):
        raise UserError(f"{source}: has no rows; {source.key} needs at least one")
    return found


def _read_files(source: Source, wanted: Sequence[str], check: Check) -> Table:
    path, name = source.files[0]
    if source.kind == ".parquet":
        return parquet.read(source.files, wanted, check)
    if source.kind in (".csv", ".tsv"):
        return delimited.read(path, wanted, check, name)
    return (json_list if source.kind == ".json" else json_lines).read(path, wanted, check, name)


def _folder(path: Path, key: str, text: str) -> list[Path]:
    found = parquet_files(path)
    if not found:
        try:
            for one in path.iterdir():
                one.is_file()
        except OSError as error:
            raise UserError(f"{key}: {text}: the folder cannot be read ({error.strerror})") from None
        raise UserError(f"{key}: {text} is a folder without Parquet files; give one file ({_KINDS})")
    return found


def _check_one_split(paths: Sequence[Path], key: str, text: str) -> None:
    """Raise `UserError` for files whose names say that they are of different splits."""
    first: dict[str, tuple[Path, re.Match[str]]] = {}
    for path in paths:
        if found := _SPLIT.search(path.stem):
            first.setdefault(_SPLITS[found[0].lower()], (path, found))
    if len(first) < 2:
        return
    wanted = key.rpartition(".")[2]
    path, found = first.get(wanted) or next(iter(first.values()))
    end = found.end()
    pattern = path.parent / f"{path.name[: end + (path.stem[end : end + 1] in ('-', '_', '.'))]}*{path.suffix}"
    names = listed([path.name for path, _ in first.values()])
    raise UserError(f"{key}: {text}: holds files of different splits ({names}); write a pattern such as {pattern}")


def _check_size(source: Source) -> None:
    for path, name in source.files:
        try:
            empty = path.stat().st_size == 0
        except OSError as error:
            raise UserError(f"{name}: cannot be read ({error.strerror})") from None
        if empty:
            raise UserError(f"{name}: is empty; {source.key} needs at least one row")


def _neighbour(path: Path) -> str:
    """A file of nearly that name in the same folder."""
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent}"
    with suppress(OSError):  # a folder that may not be read
        return suggest(path.name, [p.name for p in path.parent.iterdir() if kind_of(p) and p.exists()])
    return ""
