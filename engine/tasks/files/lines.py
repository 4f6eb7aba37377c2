"""A file of text as its lines: UTF-8 whatever the locale, unpacked, without a byte order mark.

A byte that is not UTF-8 is kept as `surrogateescape` keeps it: it matters only in a column that is used
(`engine.tasks.table.text`).
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from engine.errors import UserError, first_line

_HEAD = 2**16  # bytes that are looked at for how lines end
_BUFFER = 2**20

# First bytes of what is no text, and what to say of it.
_NO_TEXT = {
    b"\xff\xfe": "is UTF-16; save it as UTF-8",
    b"\xfe\xff": "is UTF-16; save it as UTF-8",
    b"\x1f\x8b": "is compressed; give it a name that ends in .gz",
    b"PK\x03\x04": "is a zip archive or a spreadsheet; unpack it, or save it as CSV",
    b"PAR1": "is a Parquet file; give it a name that ends in .parquet",
}


class Lines:
    """The text of a file, as it is asked for: its lines with their ends, or parts of it.

    They end in a newline, or in a carriage return where the file knows no other end. What else Unicode has to separate
    lines is text.
    """

    def __init__(self, file: io.TextIOWrapper) -> None:
        self._file = file
        self._begun = False
        self.last = ""  # that was given

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.last = self._unmarked(line)
            yield self.last

    def read(self, size: int) -> str:
        """About so many characters; none at the end alone."""
        return self._unmarked(self._file.read(size if self._begun else size + 1))  # a mark may be taken off

    def _unmarked(self, text: str) -> str:
        if self._begun:
            return text
        self._begun = True
        return text.removeprefix("\ufeff")


@contextmanager
def opened(path: Path, name: str) -> Iterator[Lines]:
    """The lines of a file; `name` is what messages call it. Raises `UserError` where it cannot be read as text."""
    try:
        with _bytes(path) as file:
            head = file.read(_HEAD)
        for start, why in _NO_TEXT.items():
            if head.startswith(start):
                raise UserError(f"{name}: {why}")
        newline = "\r" if b"\r" in head and b"\n" not in head else "\n"
        with (
            _bytes(path) as file,
            io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline=newline) as decoded,
        ):
            yield Lines(decoded)
    except (OSError, EOFError, zlib.error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        raise UserError(f"{name}: cannot be read ({why})") from None


def _bytes(path: Path) -> gzip.GzipFile | BinaryIO:
    if path.suffix.lower() == ".gz":
        return gzip.GzipFile(path, "rb")
    return path.open("rb", buffering=_BUFFER)
