"""How the command line writes: data on stdout, talk on stderr."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
import typer

from engine.text import plain


def print_json(value: Any) -> None:
    """Anything that msgspec can encode, as one line on stdout."""
    typer.echo(plain(msgspec.json.encode(value).decode()))


def write_any_text() -> None:
    """From now on stdout takes what the locale's encoding has no sign for, as `\\u00e9`: JSON stays JSON."""

    def escaped(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
        pairs = zip(units[::2], units[1::2], strict=True)
        return "".join(f"\\u{high:02x}{low:02x}" for high, low in pairs), error.end

    codecs.register_error("zotui", escaped)
    if hasattr(sys.stdout, "reconfigure"):  # a test may have put something else there
        sys.stdout.reconfigure(errors="zotui")


def close_stdout() -> None:
    """Whoever read our stdout is gone: let everything further go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def print_out(text: str) -> None:
    """Lines on stdout; a reader that has gone away is no reason to stop."""
    try:
        print(plain(text), flush=True)
    except BrokenPipeError:  # the run goes on to its end
        close_stdout()


def talk(line: str) -> None:
    """One line on stderr; a terminal that has gone away is no reason to stop."""
    with suppress(OSError, ValueError):
        print(plain(line), file=sys.stderr, flush=True)


def write(text: str) -> None:
    """Text on stderr as it is; a terminal that has gone away is no reason to stop."""
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Rows on stdout, their columns aligned."""
    rows = [tuple(plain(cell.replace("\n", " ")) for cell in row) for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
