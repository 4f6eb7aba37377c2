"""What a run takes of its machine, on record: the figures of every second, a line for each half minute.

Nothing depends on it: a line that cannot be written is left out, and a record that is damaged is read as far
as it goes. The start-up and pauses are in it, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import structs

from engine.errors import RunFailed, UserError
from engine.protocol.events import Event, GpuReading, Step, Telemetry
from engine.protocol.numbers import Number, Whole
from engine.runs.journal import JournalWriter, LineReader
from engine.text import plain

_PERIOD = 30.0  # seconds that a line covers; the last one of an engine covers less

PATIENCE = 2.0
"""Seconds that the end of a run waits for the last line."""


class GpuUsage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One GPU of the machine over some time; null for what its driver does not tell."""

    index: Whole  # as the driver counts them
    name: str
    ours: bool  # whether the run was on it
    memory_used_peak: Whole  # bytes, by every process
    memory_total: Whole  # bytes
    utilisation_mean: Number | None = None  # 0..1
    temperature_max: Number | None = None  # degrees Celsius
    power_mean: Number | None = None  # watts


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the record: `seconds` up to `at`."""

    at: Number  # seconds since the epoch
    seconds: Number
    step: Whole  # steps done at its end
    kv_cache_usage_mean: Number | None  # 0..1 of the KV space that scoring owns
    kv_cache_usage_peak: Number | None
    rss_peak: Whole  # resident memory of the engine and its children, bytes
    cpu_mean: Number  # processor use, 1.0 = one core
    gpus: list[GpuUsage] = []

    @property
    def gpu(self) -> GpuUsage | None:
        """The GPU that the run was on."""
        return next((gpu for gpu in self.gpus if gpu.ours), None)


def together(lines: Sequence[Usage]) -> Usage | None:
    """One line over all of them: means by the seconds, peaks the highest, the rest as of the last; None of none."""
    if not lines:
        return None
    last = lines[-1]
    gpus: dict[int, list[tuple[GpuUsage, float]]] = {}
    for line in lines:
        for gpu in line.gpus:
            gpus.setdefault(gpu.index, []).append((gpu, line.seconds))
    return Usage(
        at=last.at,
        seconds=round(sum(line.seconds for line in lines), 3),
        step=last.step,
        kv_cache_usage_mean=_mean((line.kv_cache_usage_mean, line.seconds) for line in lines),
        kv_cache_usage_peak=_peak(line.kv_cache_usage_peak for line in lines),
        rss_peak=max(line.rss_peak for line in lines),
        cpu_mean=_mean((line.cpu_mean, line.seconds) for line in lines) or 0.0,
        gpus=[_gpu_together(parts) for parts in gpus.values()],
    )


def thinned(lines: Sequence[Usage], most: int) -> list[Usage]:
    """At most so many lines over the same time, neighbours together."""
    each = -(-len(lines) // most) or 1
    return [line for start in range(0, len(lines), each) if (line := together(lines[start : start + each]))]


def read(path: Path) -> list[Usage]:
    """The lines of a record in the order written, as far as they can be read; none if it is not there."""
    found = []
    with suppress(UserError, OSError):
        for line in LineReader(path, Usage).more():
            named = [structs.replace(gpu, name=plain(gpu.name)) for gpu in line.gpus]
            found.append(structs.replace(line, gpus=named))
    return found


class Recorder:
    """Takes a run's events on a thread of its own (see `Outbox.follow`), and writes the record."""

    def __init__(
        self,
        path: Path,
        steps_done: int,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._path, self._step, self._clock, self._wall = path, steps_done, clock, wall
        self._samples: list[Usage] = []
        self._began = self._sampled = clock()
        self._writer: JournalWriter | None = None

    def take(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, Step):
            self._step = event.step + 1
        elif isinstance(event, Telemetry):
            if not self._samples:
                self._open()  # as a line begins, so that an engine at work holds the same files throughout
            before, self._sampled = self._sampled, self._clock()
            self._samples.append(_sampled(event, self._wall(), self._sampled - before, self._step))
            if self._sampled - self._began >= _PERIOD:
                self._write()

    def end(self) -> None:
        """The run is over."""
        self._write()
        if self._writer is not None:
            with suppress(OSError, RunFailed):
                self._writer.close()

    def _write(self) -> None:
        line, self._samples, self._began = together(self._samples), [], self._sampled
        if line is None:
            return
        self._open()
        if self._writer is not None:
            with suppress(OSError, RunFailed):
                self._writer.append(structs.replace(line, step=self._step))

    def _open(self) -> None:
        if self._writer is None:
            with suppress(OSError, UserError, RunFailed):
                self._writer = JournalWriter(self._path)


def _sampled(now: Telemetry, at: float, seconds: float, step: int) -> Usage:
    """The figures of one moment, for the seconds before it."""
    return Usage(
        at=round(at, 3),
        seconds=seconds,
        step=step,
        kv_cache_usage_mean=now.kv_cache_usage,
        kv_cache_usage_peak=now.kv_cache_usage,
        rss_peak=now.rss,
        cpu_mean=now.cpu,
        gpus=[_gpu_sampled(gpu) for gpu in now.gpus],
    )


def _gpu_sampled(now: GpuReading) -> GpuUsage:
    return GpuUsage(
        index=now.index,
        name=now.name,
        ours=now.ours,
        memory_used_peak=now.memory_used,
        memory_total=now.memory_total,
        utilisation_mean=now.utilisation,
        temperature_max=now.temperature,
        power_mean=now.power,
    )


def _gpu_together(parts: Sequence[tuple[GpuUsage, float]]) -> GpuUsage:
    return structs.replace(
        parts[-1][0],
        memory_used_peak=max(gpu.memory_used_peak for gpu, _ in parts),
        utilisation_mean=_mean((gpu.utilisation_mean, seconds) for gpu, seconds in parts),
        temperature_max=_peak(gpu.temperature_max for gpu, _ in parts),
        power_mean=_mean((gpu.power_mean, seconds) for gpu, seconds in parts),
    )


def _mean(values: Iterable[tuple[float | None, float]]) -> float | None:
    """By the seconds of each; of those that are known."""
    known = [(value, seconds) for value, seconds in values if value is not None]
    covered = sum(seconds for _, seconds in known)
    return round(sum(value * seconds for value, seconds in known) / covered, 4) if covered > 0 else None


def _peak(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
