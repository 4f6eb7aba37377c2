"""Where examples come from: local JSONL, JSON, CSV and Parquet files, and data sets of the Hugging Face hub.

Everything is read by the `datasets` library, which is imported only when something is read.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import UserError, first_line
from engine.models import hub
from engine.text import suggest

if TYPE_CHECKING:
    from datasets import Dataset

_BUILDERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
_HUB_ID = re.compile(r"(?P<name>\w[\w.-]*(?:/\w[\w.-]*)?)(?::(?P<config>[^@:]+))?@(?P<split>.+)")
_PEEK = 100  # rows of a JSONL file that are looked at for its columns


@dataclass(frozen=True)
class Source:
    """One split of a task: a local file, or a hub id `name[:config]@split`."""

    key: str  # the preset's key, for messages
    text: str  # as the user wrote it
    path: Path | None = None
    name: str = ""
    config: str | None = None
    split: str = "train"

    def __str__(self) -> str:
        return self.text


def parse(key: str, text: str) -> Source:
    """Tell a local file from a hub id. Raises `UserError` for a file that is missing or of no known kind."""
    path = Path(text).expanduser()
    if path.suffix.lower() in _BUILDERS or path.exists():
        if path.is_dir():
            raise UserError(f"{key}: {text} is a folder; give one file ({_kinds()})")
        if not path.exists():
            raise UserError(f"{key}: {text}: no such file{_neighbour(path)}")
        if path.suffix.lower() not in _BUILDERS:
            raise UserError(f"{key}: {text}: unknown kind of file; give one of {_kinds()}")
        return Source(key, text, path=path)
    hub = _HUB_ID.fullmatch(text)
    if not hub:
        raise UserError(f"{key}: {text}: neither a file ({_kinds()}) nor a hub id name[:config]@split")
    return Source(key, text, name=hub["name"], config=hub["config"], split=hub["split"])


def columns(source: Source) -> list[str] | None:
    """The columns of a local file where they are cheap to know, else None."""
    if source.path is None or source.path.suffix.lower() == ".json":
        return None
    try:
        if source.path.stat().st_size == 0:
            raise UserError(f"{source}: is empty; {source.key} needs at least one row")
        if source.path.suffix.lower() == ".csv":
            return _csv_header(source.path)
        if source.path.suffix.lower() == ".parquet":
            import pyarrow.parquet  # type: ignore[import-untyped]

            return list(pyarrow.parquet.read_schema(source.path).names)
        return _jsonl_columns(source)
    except (OSError, ValueError, csv.Error) as error:  # pyarrow's errors are both OSError and ValueError
        raise UserError(f"{source}: cannot be read ({first_line(error)})") from None


def read(source: Source, cache: Path) -> Dataset:
    """All rows of a source. Raises `UserError` if it cannot be read or has none.

    `cache` holds what `datasets` makes of local files; hub data sets stay in the cache that all
    Hugging Face tools share.
    """
    import datasets

    datasets.disable_progress_bars()  # they would fill the engine's log
    loaded = _read_hub(source) if source.path is None else _read_local(source, source.path, cache)
    if loaded.num_rows == 0:
        raise UserError(f"{source}: has no rows; {source.key} needs at least one")
    return loaded


def _read_local(source: Source, path: Path, cache: Path) -> Dataset:
    import datasets

    if path.stat().st_size == 0:
        raise UserError(f"{source}: is empty; {source.key} needs at least one row")
    kind = _BUILDERS[path.suffix.lower()]
    options: dict[str, Any] = {}
    if kind == "csv":
        # Text stays as written: "NA" is no missing value and "007" no number.
        options = {"keep_default_na": False, "na_values": [""]}
        names = columns(source) or []
        if names and all(names) and len(set(names)) == len(names):
            options["features"] = datasets.Features({name: datasets.Value("string") for name in names})
    try:
        loaded = datasets.load_dataset(
            kind, data_files=str(path), split="train", cache_dir=str(cache / "datasets"), **options
        )
    except Exception as error:  # noqa: BLE001 - pyarrow's, pandas' and datasets' own, without a common base
        if "corresponds to no data" in str(error):
            raise UserError(f"{source}: has no rows; {source.key} needs at least one") from None
        raise UserError(f"{source}: cannot be read as {kind.upper()} ({first_line(_root(error))})") from None
    assert isinstance(loaded, datasets.Dataset)
    return loaded


def _read_hub(source: Source) -> Dataset:
    import datasets

    reply = hub.ask(
        f"{source.key}: {source}", "data set", lambda api: api.dataset_info(source.name, timeout=hub.TIMEOUT)
    )
    offline = reply if isinstance(reply, str) else ""
    try:
        with _offline(offline):
            loaded = datasets.load_dataset(source.name, source.config, split=source.split)
    except Exception as error:  # noqa: BLE001 - connection, configuration, split, broken data
        if offline:
            raise UserError(
                f"{source.key}: {source}: {offline}, and it is not in the local cache; "
                f"go online or set {source.key} to a local file"
            ) from None
        raise UserError(f"{source.key}: {source}: cannot be loaded ({first_line(error)})") from None
    if not isinstance(loaded, datasets.Dataset):
        raise UserError(f"{source.key}: {source}: is not one split; write name[:config]@split")
    return loaded


@contextmanager
def _offline(reason: str) -> Iterator[None]:
    """With a reason, let `datasets` look only into its cache instead of retrying."""
    import datasets
    from huggingface_hub import constants

    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    if reason:
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


def _csv_header(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return next(csv.reader(file), [])


def _jsonl_columns(source: Source) -> list[str]:
    assert source.path is not None
    found: dict[str, None] = {}
    with source.path.open(encoding="utf-8-sig") as file:
        for number, line in zip(range(1, _PEEK + 1), file, strict=False):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                raise UserError(f"{source}: line {number} is not JSON; write one object per line") from None
            if not isinstance(row, dict):
                raise UserError(f"{source}: line {number} is not an object; write one object per line")
            found.update(dict.fromkeys(row))
    return list(found)


def _neighbour(path: Path) -> str:
    """A file of nearly that name in the same folder."""
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent}"
    return suggest(path.name, [p.name for p in path.parent.iterdir() if p.suffix.lower() in _BUILDERS])


def _kinds() -> str:
    return ", ".join(_BUILDERS)


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
