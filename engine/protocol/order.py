"""What a spare engine is told, once: the run that it is for. One JSON line on its standard input."""

from __future__ import annotations

import msgspec


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As on the command line of `python -m engine`; commands for the run may follow at once."""

    run: str  # path of the run's directory
    resume: bool = False


def encode_order(order: Order) -> bytes:
    """The line, with its end."""
    return msgspec.json.encode(order) + b"\n"


def decode_order(line: bytes) -> Order:
    """What a line says. Raises `msgspec.DecodeError` for anything else."""
    return msgspec.json.decode(line, type=Order)
