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

_HANDLER = "written-out"


def write_out_the_unwritable() -> None:
    """From now on a character that standard output or error cannot hold is `\\uXXXX`, which JSON reads as the same."""
    codecs.register_error(_HANDLER, written_out)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_HANDLER)


def written_out(error: UnicodeError) -> tuple[str, int]:
    """A handler of `codecs` for what cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


def print_json(value: Any) -> None:
    """Anything that msgspec can encode, as one line on stdout."""
    typer.echo(plain(msgspec.json.encode(value).decode()))


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
