"""Seeded frames that are malformed or hostile: mutations of real messages, garbage, nesting, length."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from engine.protocol.frames import LONGEST

ODD_VALUES: list[Any] = [
    None, True, -1, 0, 2**63 - 1, 2**63, 10**400, 1e308, -1e308, 0.5, "", "x", "\x00", "\ud800", "a" * 5000,
    [], {}, [[]], {"type": "stop"}, "NaN", "stop",
]  # fmt: skip


def mutations(seed: int, examples: Sequence[bytes]) -> Iterator[bytes]:
    """Lines without end, each with its newline; some of them may happen to be messages all the same."""
    chance = random.Random(seed)
    kinds: list[tuple[Callable[[random.Random, bytes], bytes], int]] = [
        (_bytes_changed, 40), (_cut, 10), (_value_changed, 30), (_garbage, 10), (_twice, 5), (_not_utf8, 5),
        (_nested, 1),
    ]  # fmt: skip
    makers, weights = zip(*kinds, strict=True)
    for number in range(10**9):
        make = _long if number % 2500 == 7 else chance.choices(makers, weights)[0]
        yield make(chance, chance.choice(examples).strip()).replace(b"\n", b" ") + b"\n"


def refused(seed: int, examples: Sequence[bytes], decode: Callable[[bytes], object], count: int) -> list[bytes]:
    """So many of them that are no messages. What `decode` takes is left out; another parser must take it too."""
    found: list[bytes] = []
    for line in mutations(seed, examples):
        try:
            decode(line)
        except msgspec.DecodeError:
            found.append(line)
        else:
            assert "type" in json.loads(line)
        if len(found) == count:
            break
    return found


def _bytes_changed(chance: random.Random, line: bytes) -> bytes:
    changed = bytearray(line)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(changed) + 1)
        how = chance.randrange(3)
        if how == 0:
            changed.insert(place, chance.randrange(256))
        elif how == 1:
            del changed[place : place + chance.randint(1, 5)]
        elif changed:
            changed[place % len(changed)] = chance.randrange(256)
    return bytes(changed)


def _cut(chance: random.Random, line: bytes) -> bytes:
    return line[: chance.randrange(len(line))]


def _value_changed(chance: random.Random, line: bytes) -> bytes:
    message = json.loads(line)
    key = chance.choice([*message, "extra"])
    how = chance.randrange(4)
    if how == 0:
        message.pop(key, None)
    else:
        message[key] = chance.choice(ODD_VALUES)
    text = json.dumps(message)
    return text.replace("0.", chance.choice(["1e999", "-Infinity", "0x", "00.", "0."]), 1).encode()


def _garbage(chance: random.Random, line: bytes) -> bytes:
    return chance.randbytes(chance.randrange(300))


def _twice(chance: random.Random, line: bytes) -> bytes:
    return line + chance.choice([b"", b",", b"\x00", b" "]) + line


def _not_utf8(chance: random.Random, line: bytes) -> bytes:
    place = chance.randrange(len(line))
    return line[:place] + chance.choice([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\x00", b"\xf8"]) + line[place:]


def _nested(chance: random.Random, line: bytes) -> bytes:
    opening = chance.choice([b"[", b'{"type":', b'{"a":['])
    inside = opening * chance.choice([100, 1000, 20_000])
    return chance.choice([inside, line[:-1] + b',"x":' + inside])


def _long(chance: random.Random, line: bytes) -> bytes:
    return line[:-1] + b',"x":"' + b"a" * (LONGEST + chance.randrange(LONGEST)) + b'"}'
