"""The parts, most important first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from engine.benchmark.on_gpu import draws, graphs, memory, parity, runs, start_up, steps
from engine.benchmark.on_gpu.results import Found
from engine.benchmark.on_gpu.settings import Settings

# What was published is of these; in this order if time is short.
_SHAPES = (("opt-1.3b", 16), ("opt-13b", 16), ("opt-13b", 128), ("opt-1.3b", 128))
_SMALL_SHAPES = (("demo", 2),)
_PATIENCE = 10  # times the seconds that a part may take, where it is rehearsed: on a simulated card, for one


@dataclass(frozen=True)
class Part:
    """One thing to find out, in a process of its own."""

    name: str
    title: str
    most_seconds: float  # after which it is cut off
    do: Callable[[Settings, Path], Found]  # takes the folder that all parts write to


def parts(settings: Settings) -> list[Part]:
    """All of them, in order."""
    shapes = _SMALL_SHAPES if settings.small else _SHAPES
    # Those with vLLM start it once or twice; the first start of a machine also compiles kernels.
    patience = _PATIENCE if settings.small else 1
    every = [
        Part("start", "start-up and self-check", 300, start_up.start),
        Part("draws", "directions of the device against those of the CPU", 60, draws.compare),
        Part("graphs", "replayed passes against eager ones", 240, graphs.compare),
        *(
            Part(f"parity-{dtype}", f"steps of the training loop, {dtype}", 240, partial(parity.compare, dtype=dtype))
            for dtype in ("float32", "float16")
        ),
        *(_steps(*shape) for shape in shapes[:2]),
        Part("determinism", "the same run twice", 240, runs.twice),
        Part("resume", "a run killed and resumed", 240, runs.broken),
        *(_memory(*shape) for shape in shapes[:2]),
        *(part for shape in shapes[2:] for part in (_steps(*shape), _memory(*shape))),
        Part("demo", "the demo, with accuracy before and after", 240, runs.demo),
    ]
    return [replace(part, most_seconds=part.most_seconds * patience) for part in every]


def _steps(of: str, size: int) -> Part:
    return Part(f"steps-{of}-{size}", f"a step, {of}, batch {size}", 300, partial(steps.time, of=of, size=size))


def _memory(of: str, size: int) -> Part:
    return Part(f"memory-{of}-{size}", f"memory, {of}, batch {size}", 180, partial(memory.weigh, of=of, size=size))
