"""Append-only records as JSON lines: the journal's writer, and readers that forgive a torn last line."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import UserError

_FSYNC_EVERY = 1.0  # seconds of steps that a power cut may take


class JournalWriter:
    """Appends steps to the journal: whole lines, flushed at once, fsynced at least every second."""

    def __init__(self, path: Path) -> None:
        _drop_torn_line(path)
        self._file = path.open("ab")
        self._synced = time.monotonic()

    def append(self, record: dict[str, Any]) -> None:
        """Write one step. `record` must hold `step`."""
        self._file.write(json.dumps(record, allow_nan=False).encode() + b"\n")
        self._file.flush()
        if time.monotonic() - self._synced >= _FSYNC_EVERY:
            self.sync()

    def sync(self) -> None:
        """Make everything written so far survive a power cut."""
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        self._file.close()


def last_line(path: Path) -> dict[str, Any] | None:
    """The last whole record of a JSON-lines file, read from its end."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 65536))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return None
    return _last_record(lines)


def newest_with(path: Path, key: str) -> dict[str, Any] | None:
    """The last whole record of a JSON-lines file that holds `key`, however far back."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError:
        return None
    mark = json.dumps(key).encode()
    return _last_record([line for line in lines if mark in line])


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The whole records of a JSON-lines file; a torn last line is left out. Raises `UserError` if damaged."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is torn
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise UserError(f"{path}: line {number} is not readable; the file is damaged")
        yield record


def _last_record(lines: list[bytes]) -> dict[str, Any] | None:
    for line in reversed(lines):
        try:
            loaded = json.loads(line)
        except ValueError:
            continue
        if isinstance(loaded, dict):
            return loaded
    return None


def _drop_torn_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
