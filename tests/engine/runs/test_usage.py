"""What a run took is on record: folded in time, a run of seconds too, and never in the run's way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from engine.protocol.commands import Pause, Resume, Stop
from engine.protocol.events import Done, GpuReading, State, Step, Telemetry
from engine.protocol.events import Telemetry as TelemetryEvent
from engine.runs.fork import fork
from engine.runs.journal import encode_line
from engine.runs.journal import read as records
from engine.runs.usage import GpuUsage, Recorder, Usage, read, thinned, together
from tests.live_engine import Engine


def step(number: int) -> Step:
    return Step(
        step=number, loss=0.5, loss_plus=0.6, loss_minus=0.4, projected_grad=1.0, lr=1e-6, tokens=10, seconds=1.0,
        tokens_per_s=10.0,
    )  # fmt: skip


def telemetry(second: int, **gpu: Any) -> Telemetry:
    reading = {"name": "NVIDIA H200", "index": 1, "ours": True, "memory_used": second, "memory_total": 100, **gpu}
    return Telemetry(
        kv_cache_usage=second / 100, gpu_memory_used=second, gpu_memory_total=100, gpu_utilisation=None,
        gpus=[GpuReading(**reading), GpuReading(name="idle", index=0, ours=False, memory_used=1, memory_total=100)],
        rss=1000 - second, cpu=float(second),
    )  # fmt: skip


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def recorder(path: Path, clock: Clock, steps_done: int = 0) -> Recorder:
    return Recorder(path, steps_done, clock, lambda: 1e9 + clock.now)


def test_every_second_is_in_one_line_for_each_half_minute_and_one_at_the_end(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "usage.jsonl"
    taking = recorder(path, clock, steps_done=7)
    for second in range(1, 46):
        clock.now = float(second)
        taking.take(step(second))
        busy = None if second % 2 else 0.5
        taking.take(telemetry(second, utilisation=busy, temperature=90 - second, power=100.0 * (second > 30)))
    assert len(read(path)) == 1
    taking.end()
    first, second = read(path)
    assert (first.at, first.seconds, first.step) == (1e9 + 30, 30.0, 31)
    assert (first.kv_cache_usage_mean, first.kv_cache_usage_peak) == (0.155, 0.3)
    assert (first.rss_peak, first.cpu_mean) == (999, 15.5)
    assert first.gpu == GpuUsage(
        index=1, name="NVIDIA H200", ours=True, memory_used_peak=30, memory_total=100, utilisation_mean=0.5,
        temperature_max=89, power_mean=0.0,
    )  # fmt: skip
    assert [gpu.index for gpu in first.gpus] == [1, 0]
    assert (second.seconds, second.step, second.cpu_mean) == (15.0, 46, 38.0)
    whole = together([first, second])
    assert whole is not None and whole.gpu is not None
    assert (whole.seconds, whole.cpu_mean, whole.rss_peak, whole.step) == (45.0, 23.0, 999, 46)
    assert (whole.gpu.memory_used_peak, whole.gpu.power_mean, whole.gpu.temperature_max) == (45, 33.3333, 89)
    assert thinned([first, second], 1) == [whole] and thinned([first, second], 2) == [first, second]
    assert together([]) is None and thinned([], 5) == []


def test_a_resumed_run_appends_to_what_could_be_read_and_damage_is_no_reason_to_fail(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    assert read(path) == []
    for begin in (0, 100):
        clock = Clock()
        taking = recorder(path, clock, steps_done=begin)
        clock.now = 1.0
        taking.take(telemetry(1))
        taking.end()
        with path.open("ab") as file:
            file.write(b'{"at": 1, "seco')  # torn, which the next engine cuts off
    lines = read(path)
    assert [line.step for line in lines] == [0, 100]
    path.write_bytes(b"".join(encode_line(line) for line in records(path, dict).records) + encode_line({"at": "never"}))
    assert read(path) == lines
    path.write_bytes(path.read_bytes().replace(b'"step": 100', b'"step": 900'))
    assert read(path) == lines[:1]
    taking = recorder(path, Clock())
    taking.take(telemetry(1))
    taking.end()  # writes nothing after damage, and does not raise
    assert read(path) == lines[:1]
    path.unlink()
    path.mkdir()
    assert read(path) == []


def test_a_line_that_the_disk_does_not_take_is_left_out(small_disk: Callable[[str], Path]) -> None:
    disk, clock = small_disk("64k"), Clock()
    path, filler = disk / "usage.jsonl", disk / "filler"
    filler.write_bytes(b"x" * 65536)
    taking = recorder(path, clock)
    for second in range(1, 91):
        clock.now = float(second)
        if second == 45:
            filler.unlink()
        taking.take(telemetry(second))
    taking.end()
    assert [line.at for line in read(path)] == [1e9 + 60, 1e9 + 90]


def test_a_run_of_seconds_is_on_record_and_its_fork_begins_anew(start: Any, tmp_path: Path) -> None:
    engine: Engine = start()
    engine.until(TelemetryEvent)
    engine.until(Step)
    engine.send(Stop())
    assert engine.finish() == 130
    (line,) = engine.run.usage()
    seen = engine.of(TelemetryEvent)
    assert line.rss_peak >= max(one.rss for one in seen) > 0
    assert line.seconds > 0 and line.kv_cache_usage_mean is None and line.gpu is None
    assert line.step == engine.of(Done)[0].steps
    again = Engine(engine.run, resume=True)
    again.until(TelemetryEvent)
    again.until(Step)
    again.send(Stop())
    assert again.finish() == 130
    assert [one.step for one in engine.run.usage()] == [line.step, again.of(Done)[0].steps]
    assert fork(engine.run, path=tmp_path / "forked").usage() == []


def test_a_run_that_cannot_record_it_is_not_held(start: Any) -> None:
    engine: Engine = start("run.steps=60")
    engine.send(Pause())
    engine.run.usage_file.mkdir()  # nothing can be written there, by nobody
    engine.until(TelemetryEvent)
    engine.send(Resume())
    assert engine.finish() == 0
    assert not [event for event in engine.of(State) if event.state == "paused" and event.reason]
    assert engine.run.usage() == []


def test_usage_of_a_hostile_record_is_shown_as_it_is(tmp_path: Path) -> None:
    line = Usage(
        at=1.0, seconds=1.0, step=1, kv_cache_usage_mean=None, kv_cache_usage_peak=None, rss_peak=1, cpu_mean=0.0,
        gpus=[GpuUsage(index=0, name="\x1b]0;owned\x07", ours=True, memory_used_peak=1, memory_total=1)],
    )  # fmt: skip
    (tmp_path / "usage.jsonl").write_bytes(encode_line(msgspec.to_builtins(line)))
    (found,) = read(tmp_path / "usage.jsonl")
    assert found.gpu is not None and found.gpu.name == "\\u001b]0;owned\\u0007"
