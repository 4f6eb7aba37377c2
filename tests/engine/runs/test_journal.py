"""Records survive what can happen to a file: what is torn is left out, what is damaged refused, nothing guessed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest

from engine.errors import UserError
from engine.runs.journal import JournalWriter, LineReader, encode_line, last_line, read

RECORDS = [{"step": n, "loss": 0.5 + n, "text": 'a "quote" and \u00fc'} for n in range(4)]
LINES = [encode_line(record) for record in RECORDS]
WHOLE = b"".join(LINES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_a_line_is_json_with_a_checksum_and_reads_back() -> None:
    import json

    for record, line in zip(RECORDS, LINES, strict=True):
        assert line.count(b"\n") == 1 and line.endswith(b"}\n")
        assert {**record, "crc": json.loads(line)["crc"]} == json.loads(line)


def test_a_number_that_json_has_not_is_not_written(path: Path) -> None:
    writer = JournalWriter(path)
    with pytest.raises(ValueError, match="JSON compliant"):
        writer.append({"step": 0, "loss": float("nan")})
    writer.close()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("cut", range(len(WHOLE) + 1))
def test_cut_anywhere_it_is_a_prefix_and_goes_on(path: Path, cut: int) -> None:
    path.write_bytes(WHOLE[:cut])
    whole = sum(cut >= len(b"".join(LINES[: n + 1])) for n in range(4))
    found = read(path, dict)
    assert found.records == RECORDS[:whole]
    assert found.sound + found.torn == cut
    assert last_line(path, dict) == (RECORDS[whole - 1] if whole else None)
    writer = JournalWriter(path)
    assert writer.dropped == found.torn
    for record in RECORDS[whole:]:
        writer.append(record)
    writer.close()
    assert path.read_bytes() == WHOLE


@pytest.mark.parametrize(
    "end", [b"\0" * 5000, b"\0\n\0\n", b"\xff\xfe rubbish\n", b'{"step": 4', b"\n", b"[4]\n", b"null\n"]
)
def test_rubbish_at_the_end_is_torn(path: Path, end: bytes) -> None:
    path.write_bytes(WHOLE + end)
    assert read(path, dict).records == RECORDS
    writer = JournalWriter(path)
    assert writer.dropped == len(end)
    writer.close()
    assert path.read_bytes() == WHOLE


@pytest.mark.parametrize("bit", [0x01, 0x20, 0x80])
def test_a_flipped_bit_is_refused_by_its_line_or_in_the_last_line_tears_it(path: Path, bit: int) -> None:
    last = len(WHOLE) - len(LINES[-1])
    for place in range(len(WHOLE)):
        content = bytearray(WHOLE)
        content[place] ^= bit
        path.write_bytes(content)
        line, told = WHOLE[:place].count(b"\n") + 1, []
        # Without its end, the last line but one is one with the last.
        torn = place >= last or place == last - 1
        for reading in (lambda: read(path, dict).records, lambda: list(LineReader(path, dict).more())):
            try:
                found = reading()
            except UserError as error:
                assert not torn
                told.append(str(error))
            else:
                assert torn, f"byte {place} was not noticed"
                assert found == RECORDS[: line - 1]
        assert all(f"line {line} is damaged" in text and f"head -n {line - 1})" in text for text in told)
        assert len(told) in (0, 2)


def test_lines_without_a_checksum_are_neither_trusted_nor_dropped(path: Path) -> None:
    path.write_bytes(b'{"step": 0}\n{"step": 1}\n')
    with pytest.raises(UserError, match=r"line 1 has no checksum: an older zotui wrote it"):
        read(path, dict)
    with pytest.raises(UserError, match="line 1 has no checksum"):
        JournalWriter(path)
    assert path.read_bytes() == b'{"step": 0}\n{"step": 1}\n'


def test_a_file_that_grows_is_read_in_whole_lines(path: Path) -> None:
    reader = LineReader(path, dict)
    assert list(reader.more()) == []
    taken = []
    for start in range(0, len(WHOLE), 7):
        with path.open("ab") as file:
            file.write(WHOLE[start : start + 7])
        taken += reader.more()
    assert taken == RECORDS


def test_what_is_appended_reaches_the_disk_by_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    really = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    writer = JournalWriter(path)
    writer.append(RECORDS[0])
    deadline = time.monotonic() + 240
    while not synced and time.monotonic() < deadline:
        time.sleep(0.05)  # a disk has no event to wait for
    assert synced == [len(LINES[0])]
    writer.close()


def test_a_disk_that_fails_to_sync_is_told_at_the_next_record(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(path)
    failed: list[int] = []

    def fsync(descriptor: int) -> None:
        failed.append(descriptor)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        writer.append(RECORDS[0])
        deadline = time.monotonic() + 240
        while not failed and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(OSError, match="Input/output error"):
            while time.monotonic() < deadline:  # the fault is stored a moment after it happened
                writer.append(RECORDS[1])
                time.sleep(0.01)
    writer.close()


def test_a_hundred_thousand_steps_are_read_quickly_enough_to_open_a_run(path: Path) -> None:
    step = {"loss": 0.512345678, "loss_plus": 0.51, "loss_minus": 0.5, "projected_grad": 1.5, "lr": 1e-6, "eps": 1e-3}
    path.write_bytes(b"".join(encode_line({"step": n, **step, "seed": 0, "tokens": 880}) for n in range(100_000)))
    assert len(read(path, dict).records) == 100_000
    assert last_line(path, dict)["step"] == 99_999  # type: ignore[index]


def test_a_whole_line_of_another_kind_is_refused_by_its_number(path: Path) -> None:
    class Pair(msgspec.Struct):
        step: int
        loss: float

    path.write_bytes(encode_line({"step": 0, "loss": 1.0, "more": [1]}) + encode_line({"step": 1, "loss": "high"}))
    found: list[Pair] = []
    with pytest.raises(UserError, match="line 2 is not what belongs there"):
        found.extend(LineReader(path, Pair).more())
    assert found == [Pair(0, 1.0)]
