"""Framing: JSON lines from a pipe or socket whose other end is not trusted to keep to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

LONGEST = 1 << 20
"""Bytes of one line; a longer one is skipped without being held in memory."""

_CHUNK = 1 << 16  # bytes asked for at once

Message = TypeVar("Message")


def frames(read: Callable[[int], bytes], decode: Callable[[bytes], Message]) -> Iterator[Message | None]:
    """What each line of a stream says, until the stream ends or breaks; None for a line that is no message.

    `read` returns up to so many bytes as soon as there are any, and none at the end. `decode` raises
    `msgspec.DecodeError` for what it does not understand.
    """
    for line in lines(read):
        if line is None:
            yield None
            continue
        try:
            message = decode(line)
        except msgspec.DecodeError:
            yield None
        else:
            yield message


def lines(read: Callable[[int], bytes]) -> Iterator[bytes | None]:
    """Each whole line, without its end; None for one that is longer than `LONGEST`.

    What follows the last newline was cut off, and is left out.
    """
    held = bytearray()
    too_long = False
    while chunk := _next(read):
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            too_long = too_long or len(held) + len(part) > LONGEST
            yield None if too_long else bytes(held) + part
            held.clear()
            too_long = False
        too_long = too_long or len(held) + len(rest) > LONGEST
        if too_long:
            held.clear()
        else:
            held += rest


def _next(read: Callable[[int], bytes]) -> bytes:
    try:
        return read(_CHUNK)
    except (OSError, ValueError):  # the other end was reset, or this one closed meanwhile: an end like any other
        return b""
