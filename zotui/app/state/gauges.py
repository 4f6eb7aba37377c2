"""The figures of the tiles: speed, memory and load, with a short past of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import psutil

from engine.protocol.events import GpuReading, Step, Telemetry
from engine.runs.usage import Usage
from zotui.runs.steps import Steps

_PAST = 120  # points behind a sparkline: two minutes at one a second
_BATCH = 100  # steps that were not watched, to a point of the past
_AVERAGED = 32  # steps that speed and step time are averaged over, so that they can be read

Past = deque[float]


def _past() -> Past:
    return deque(maxlen=_PAST)


class OwnUse(NamedTuple):
    """What this app itself takes."""

    memory: int  # bytes, resident
    cpu: float  # 1.0 = one core, since it was last asked

    @classmethod
    def now(cls) -> OwnUse:
        """As the system counts it."""
        return cls(_me.memory_info().rss, _me.cpu_percent() / 100)


_me = psutil.Process()


class GpuGauge:
    """One GPU, with a past of what it tells."""

    def __init__(self, reading: GpuReading) -> None:
        self.memory, self.utilisation, self.temperature, self.power = _past(), _past(), _past(), _past()
        self.take(reading)

    def take(self, reading: GpuReading) -> None:
        """Take what it says this second."""
        self.now = reading
        self.memory.append(float(reading.memory_used))
        for past, value in (
            (self.utilisation, reading.utilisation),
            (self.temperature, reading.temperature),
            (self.power, reading.power),
        ):
            if value is not None:
                past.append(value)


class Gauges:
    """Figures about the engine now, and over the last minutes."""

    def __init__(self, clock: Callable[[], float], own_use: Callable[[], OwnUse] = lambda: OwnUse.now()) -> None:
        self._clock, self._own_use = clock, own_use
        self.clear()

    def clear(self) -> None:
        """Forget everything: another engine takes over."""
        self._recent: deque[tuple[int, float]] = deque(maxlen=_AVERAGED)
        self._sampled = float("-inf")
        self.now: Telemetry | None = None
        self.own: OwnUse | None = None
        self.recorded: Usage | None = None  # over the whole run, where only its records are watched
        self.speeds, self.step_times, self.kv, self.memory, self.cpu = _past(), _past(), _past(), _past(), _past()
        self._gpus: dict[int, GpuGauge] = {}

    def step(self, step: Step) -> None:
        """Take a step's speed."""
        self._recent.append((step.tokens, step.seconds))
        if self._clock() - self._sampled >= 1.0:
            self._sampled = self._clock()
            self.speeds.append(self.tokens_per_s or 0.0)
            self.step_times.append(self.step_time or 0.0)

    def past_steps(self, steps: Steps) -> None:
        """Take the speed of steps that were not watched: a point of the past for each batch of them."""
        tokens, seconds = (np.array(steps.column(name)) for name in ("tokens", "seconds"))
        known = np.isfinite(tokens) & (seconds > 0)
        tokens, seconds = tokens[known], seconds[known]
        if not len(seconds):
            return
        self._recent.extend(zip(tokens[-_AVERAGED:].astype(int).tolist(), seconds[-_AVERAGED:].tolist(), strict=True))
        for part in np.array_split(np.arange(len(seconds)), -(-len(seconds) // _BATCH)):
            self.speeds.append(float(tokens[part].sum() / seconds[part].sum()))
            self.step_times.append(float(seconds[part].mean()))

    def telemetry(self, telemetry: Telemetry) -> None:
        """Take the figures of this second."""
        self.now = telemetry
        self.own = self._own_use()
        self.memory.append(float(telemetry.rss))
        self.cpu.append(telemetry.cpu)
        if telemetry.kv_cache_usage is not None:
            self.kv.append(telemetry.kv_cache_usage)
        for reading in telemetry.gpus or _only_gpu(telemetry):
            if reading.index in self._gpus:
                self._gpus[reading.index].take(reading)
            elif len(self._gpus) < 64:  # more is not a machine but a mistake
                self._gpus[reading.index] = GpuGauge(reading)

    @property
    def gpus(self) -> list[GpuGauge]:
        """Every GPU, the run's own first."""
        return sorted(self._gpus.values(), key=lambda gauge: (not gauge.now.ours, gauge.now.index))

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens scored a second, over the last steps."""
        seconds = sum(taken for _, taken in self._recent)
        return sum(tokens for tokens, _ in self._recent) / seconds if seconds > 0 else None

    @property
    def step_time(self) -> float | None:
        """Seconds a step takes, over the last steps."""
        return sum(taken for _, taken in self._recent) / len(self._recent) if self._recent else None


def _only_gpu(telemetry: Telemetry) -> list[GpuReading]:
    """The GPU of an engine that names none."""
    used, total = telemetry.gpu_memory_used, telemetry.gpu_memory_total
    if used is None or total is None:
        return []
    busy = telemetry.gpu_utilisation
    return [GpuReading(name="GPU", index=0, ours=True, memory_used=used, memory_total=total, utilisation=busy)]
