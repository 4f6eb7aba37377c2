"""The figures of the tiles: speed, memory and load, with a short past of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from engine.messages import Step, Telemetry

_PAST = 120  # points behind a sparkline: two minutes at one a second
_AVERAGED = 32  # steps that speed and step time are averaged over, so that they can be read


class Gauges:
    """Figures about the engine now, and over the last minutes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """Forget everything: another engine takes over."""
        self._recent: deque[tuple[int, float]] = deque(maxlen=_AVERAGED)
        self._sampled = float("-inf")
        self.now: Telemetry | None = None
        self.speeds: deque[float] = deque(maxlen=_PAST)
        self.step_times: deque[float] = deque(maxlen=_PAST)
        self.kv: deque[float] = deque(maxlen=_PAST)
        self.gpu: deque[float] = deque(maxlen=_PAST)
        self.memory: deque[float] = deque(maxlen=_PAST)
        self.cpu: deque[float] = deque(maxlen=_PAST)

    def step(self, step: Step) -> None:
        """Take a step's speed."""
        self._recent.append((step.tokens, step.seconds))
        if self._clock() - self._sampled >= 1.0:
            self._sampled = self._clock()
            self.speeds.append(self.tokens_per_s or 0.0)
            self.step_times.append(self.step_time or 0.0)

    def telemetry(self, telemetry: Telemetry) -> None:
        """Take the figures of this second."""
        self.now = telemetry
        self.memory.append(float(telemetry.rss))
        self.cpu.append(telemetry.cpu)
        if telemetry.kv_cache_usage is not None:
            self.kv.append(telemetry.kv_cache_usage)
        if telemetry.gpu_memory_used is not None:
            self.gpu.append(telemetry.gpu_utilisation or 0.0)

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens scored a second, over the last steps."""
        seconds = sum(taken for _, taken in self._recent)
        return sum(tokens for tokens, _ in self._recent) / seconds if seconds > 0 else None

    @property
    def step_time(self) -> float | None:
        """Seconds a step takes, over the last steps."""
        return sum(taken for _, taken in self._recent) / len(self._recent) if self._recent else None
