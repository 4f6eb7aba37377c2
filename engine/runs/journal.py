"""Append-only records as JSON lines with checksums, and how they are read again.

A line is the record with its own CRC-32 as the last key. What a killed process or a power cut leaves at
the end (half a line, zeros) is torn: readers leave it out, and the next writer cuts it off. A line that is
wrong anywhere else is damage, and refused.
"""

from __future__ import annotations

import json
import os
import re
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from engine.errors import RunFailed, UserError

_FSYNC_EVERY = 1.0  # seconds of steps that a power cut may take
_END = 65536  # bytes at the end of a file that hold its last record
_SUFFIX = b', "crc": "%08x"}'
_SUFFIX_LENGTH = len(_SUFFIX % 0)
_CHECKED = re.compile(rb'"crc"|"[0-9a-f]{8}"\}$')  # has a checksum, or had one

Record = TypeVar("Record")


def fields_of(record: object) -> dict[str, object]:
    """A struct or a mapping as it is on record: of an event without its type, since a file holds one kind of them."""
    fields: dict[str, object] = msgspec.to_builtins(record)
    fields.pop("type", None)
    return fields


def encode_line(record: object) -> bytes:
    """The line of a record that is not empty, newline included. Raises `ValueError` for a number that JSON has not."""
    body = json.dumps(fields_of(record), allow_nan=False).encode()
    return body[:-1] + _SUFFIX % zlib.crc32(body) + b"\n"


def misplaced(path: Path, step: int) -> UserError:
    """What is raised where the line of a journal that should be a step is another."""
    return UserError(f"{path}: line {step + 1} is not step {step}; the journal is damaged")


@dataclass(frozen=True)
class Contents(Generic[Record]):
    """What a file of records holds."""

    records: list[Record]
    sound: int  # bytes up to the end of the last whole line
    torn: int  # bytes after it


def read(path: Path, kind: type[Record]) -> Contents[Record]:
    """Every record of a file; none if it is not there. Raises `UserError` if it is damaged before its end."""
    reader = LineReader(path, kind)
    records = list(reader.more())
    return Contents(records, reader.sound, reader.seen - reader.sound)


def last_line(path: Path, kind: type[Record]) -> Record | None:
    """The last whole record of a file, read from its end; None if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _END))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return None
    decoder = msgspec.json.Decoder(kind)
    bodies = (body for line in reversed(lines) if (body := _checked(line)) is not None)
    return next((record for body in bodies if (record := _decode(body, decoder)) is not None), None)


class LineReader(Generic[Record]):
    """Takes a file of records of a kind, also as it grows, in pieces of any size.

    A whole line of another kind is damage. With a kind that names its fields, what else a line holds is passed over,
    and a long file is read twice as fast.

    Attributes: seen, bytes that were read; sound, bytes up to the end of the last whole line.
    """

    def __init__(self, path: Path, kind: type[Record]) -> None:
        self._path, self._decoder = path, msgspec.json.Decoder(kind)
        self._rest, self._lines, self._bad = b"", 0, 0
        self.seen = self.sound = 0

    def more(self) -> Iterator[Record]:
        """The records that were added since; a line is taken once it is whole. Raises `UserError` for damage."""
        try:
            with self._path.open("rb") as file:
                file.seek(self.seen)
                added = file.read()
        except FileNotFoundError:  # the engine is still starting
            return
        except OSError as error:
            raise UserError(f"{self._path}: cannot be read ({error.strerror})") from None
        self.seen += len(added)
        *lines, self._rest = (self._rest + added).split(b"\n")  # what follows the last newline may be torn
        for line in lines:
            self._lines += 1
            body = _checked(line)
            if body is None:
                self._bad = self._bad or self._lines
                if self._lines == 1:
                    _refuse_without_checksum(self._path, line)
            elif self._bad:
                raise UserError(
                    f"{self._path}: line {self._bad} is damaged; put a good copy of the file back, or keep the "
                    f"{self._bad - 1} lines before it (head -n {self._bad - 1}) to go on from there"
                )
            else:
                record = _decode(body, self._decoder)
                if record is None:
                    raise UserError(f"{self._path}: line {self._lines} is not what belongs there; the file is damaged")
                self.sound += len(line) + 1
                yield record


class JournalWriter:
    """Appends records: whole lines, handed to the system at once, on the disk within about a second.

    Attributes: dropped, how many torn bytes were cut off when it was opened.
    """

    def __init__(self, path: Path) -> None:
        """Raises `UserError` if the file is damaged, and `OSError` if it cannot be written."""
        contents = read(path, msgspec.Raw)  # of whatever kind
        self.dropped = contents.torn
        self._size = contents.sound
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.ftruncate(self._file, self._size)
        self._fault: OSError | None = None
        self._unsynced = False
        self._closing = threading.Event()
        self._syncer = threading.Thread(target=self._sync_now_and_then, name="fsync", daemon=True)
        self._syncer.start()

    def append(self, record: object) -> None:
        """Write one record. Raises `OSError` if the disk does not take it: nothing of it is left then.

        Raises `RunFailed` if the file was deleted: what is written to it goes nowhere.
        """
        if self._fault is not None:  # of what was written before
            fault, self._fault = self._fault, None
            raise fault
        self._refuse_deleted()
        line = encode_line(record)
        rest = line
        try:
            # Also what an earlier fault could not cut off.
            os.ftruncate(self._file, self._size)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)
        self._unsynced = True

    def close(self) -> None:
        """Sync and close. Raises `OSError` if what was written is not safe, and `RunFailed` as `append` does."""
        self._closing.set()
        self._syncer.join()
        try:
            os.fsync(self._file)
            self._refuse_deleted()
        finally:
            os.close(self._file)

    def _refuse_deleted(self) -> None:
        if not os.fstat(self._file).st_nlink:
            raise RunFailed(f"{self._path}: was deleted while the run was at work; there is nothing left to go on from")

    def _sync_now_and_then(self) -> None:
        # On a thread: a disk that takes its time must not hold up a step.
        while not self._closing.wait(_FSYNC_EVERY):
            if self._unsynced:
                self._unsynced = False
                try:
                    os.fsync(self._file)
                except OSError as error:
                    self._fault, self._unsynced = error, True


def append(path: Path, record: object) -> None:
    """Append one record, on the disk when this returns. Raises `UserError` and `OSError` as `JournalWriter` does."""
    writer = JournalWriter(path)
    try:
        writer.append(record)
    finally:
        writer.close()


def _checked(line: bytes) -> bytes | None:
    """What a line says without its checksum, or None if that is another's."""
    body = line[:-_SUFFIX_LENGTH] + b"}"
    return body if line.endswith(_SUFFIX % zlib.crc32(body)) else None


def _decode(body: bytes, decoder: msgspec.json.Decoder[Record]) -> Record | None:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _refuse_without_checksum(path: Path, line: bytes) -> None:
    """Whole records that were never given checksums are not torn: to drop them would be to lose them."""
    if _decode(line, msgspec.json.Decoder(dict[str, object])) is not None and not _CHECKED.search(line):
        raise UserError(f"{path}: line 1 has no checksum: an older zotui wrote it, and only that can go on")
