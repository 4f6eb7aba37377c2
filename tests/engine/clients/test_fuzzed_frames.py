"""Frames that are malformed or hostile: nothing crashes, nothing is held in memory, and the run takes no notice."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from engine.protocol.codec import decode_command, decode_event, encode
from engine.protocol.commands import Pause, Resume, Save, Stop
from engine.protocol.events import Done, Log, State, Step
from engine.protocol.frames import LONGEST, frames, lines
from tests.engine.training.test_determinism import trajectory
from tests.fuzz import refused
from tests.live_engine import Client, Conversation

COMMANDS = [encode(c) for c in (Pause(), Resume(), Save(), Stop())]
FRAMES = 10_000


def stream(*chunks: bytes) -> Any:
    """Reads these chunks, cut where more is there than was asked for, and then nothing."""
    left = list(chunks)

    def read(most: int) -> bytes:
        chunk = left.pop(0) if left else b""
        if len(chunk) > most:
            left.insert(0, chunk[most:])
        return chunk[:most]

    return read


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_lines_are_whole_however_they_are_cut(size: int) -> None:
    data = b"one\n\ntwo\x00\xff\n" + b"x" * 3000 + b"\nlast\ncut off"
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    assert list(lines(stream(*chunks))) == [b"one", b"", b"two\x00\xff", b"x" * 3000, b"last"]


def test_a_line_that_is_too_long_is_skipped_without_being_held() -> None:
    def endless() -> Iterator[bytes]:
        yield b"before\n" + b"a" * LONGEST + b"\n"
        yield from itertools.repeat(b"b" * 65_536, 4096)  # a quarter of a GiB
        yield b"\nafter\n" + b"c" * (LONGEST + 1) + b"\n" + b"d" * LONGEST + b"d\nend\n"

    import tracemalloc

    chunks = endless()
    found: list[object] = []
    tracemalloc.start()
    try:
        for line in lines(lambda most: next(chunks, b"")):
            found.append(line if line is None or len(line) < 100 else len(line))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == [b"before", LONGEST, None, b"after", None, None, b"end"]
    assert peak < 8 * LONGEST


def test_a_stream_that_breaks_ends() -> None:
    def read(most: int, _left: list[bytes] = [b'{"type":"stop"}\n{"ty']) -> bytes:  # noqa: B006
        if _left:
            return _left.pop()
        raise ConnectionResetError

    assert list(frames(read, decode_command)) == [Stop()]


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"type":' * 100_000,
        b'{"type":"stop","x":' + b"[" * 100_000,
        b'{"type":"stop","x":"\xff"}',
        b'{"type":"stop"}\x00',
        b'{"type":["stop"]}',
        b'{"type":"st\\u0000op"}',
        b'\xef\xbb\xbf{"type":"stop"}',
        b"",
    ],
    ids=lambda line: repr(line[:20]),
)
def test_what_is_no_command_is_none(line: bytes) -> None:
    decoded = list(frames(stream(line + b"\n", b'{"type":"pause"}\n'), decode_command))
    assert decoded == [None, Pause()]


@pytest.mark.parametrize("value", [b"9" * 5000, b"1e999", b"9223372036854775808", b"-1", b"1.5", b'"1"', b"null"])
def test_a_number_that_cannot_be_is_refused(value: bytes) -> None:
    line = b'{"type":"checkpoint","path":"","seconds":0.1,"step":' + value + b"}\n"
    assert list(frames(stream(line), decode_event)) == [None]


def test_ten_thousand_frames_on_each_way_in_change_no_bit_of_the_run_and_a_pause_is_obeyed(start: Any) -> None:
    engine = start("run.batch_size=4")
    engine.until(Step)
    client = Client(engine.run)

    def attack(end: Conversation, seed: int) -> None:
        for frame in refused(seed, COMMANDS, decode_command, FRAMES):
            end.tell(frame)

    threads = [threading.Thread(target=attack, args=(end, seed)) for seed, end in enumerate((engine, client))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.send(Pause())
    paused = engine.until(State, state="paused")
    warnings = [e.text for e in engine.seen if isinstance(e, Log) and e.level == "warning"]
    assert warnings == ["a command that is not understood was ignored; further ones are only counted"]
    engine.send(Resume())
    engine.until(Step, step=paused.step + 20)
    engine.send(Stop())
    done = engine.until(Done)
    assert engine.finish() == 130
    told = next(e.text for e in reversed(engine.seen) if isinstance(e, Log))
    assert told == f"{2 * FRAMES} commands were not understood, and ignored"
    # Nothing else was done but what was asked for.
    assert [e.state for e in engine.seen if isinstance(e, State)][-5:] == [
        *("pausing", "paused", "running", "stopping", "checkpointing")
    ]
    assert [path.name for path in engine.run.checkpoints.iterdir()] == [f"step-{done.steps:08d}"]
    assert [evaluation.step for evaluation in engine.run.evaluations()] == [0]

    undisturbed = start("run.batch_size=4", f"run.steps={done.steps}")
    assert undisturbed.finish() == 0
    assert trajectory(engine.run) == trajectory(undisturbed.run)
