"""Over thousands of steps an engine does not grow: its memory, open files and threads stand still.

Run with `ZOTUI_LONG_TESTS=1` for 5,000 steps of both runtimes instead of 1,500.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from engine.protocol.events import Step
from tests.engine.conftest import needs_vllm
from tests.live_engine import Engine

STEPS = 5000 if os.environ.get("ZOTUI_LONG_TESTS") else 1500
SETTLED = 500  # steps after which everything has been done often: folds, evaluations, checkpoints
# Bytes. What malloc keeps moves by some pages without a leak, and a run has a number or two more to remember every
# 50 steps: 52 KiB over 900 steps were seen. One event or record that is kept comes to 1 KB a step or more, one
# tensor of this model's smallest matrix to 64 KB.
TOLERANCE = 2 * 2**20


@dataclass(frozen=True)
class Size:
    """What a process holds."""

    memory: int  # bytes, resident
    files: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Size:
        process = psutil.Process(pid)
        return cls(process.memory_info().rss, process.num_fds(), process.num_threads())


@pytest.mark.fresh  # a fork's memory is not its own
@pytest.mark.parametrize("runtime", ["training-loop", pytest.param("vllm", marks=needs_vllm)])
def test_an_engine_does_not_grow(start: Any, runtime: str) -> None:
    engine: Engine = start(
        f"model.runtime={runtime}",
        f"run.steps={STEPS}",
        "method.interval=10",
        "run.batch_size=1",
        "run.eval_every=100",
        "run.checkpoint_every=100",
        "task.validation_examples=4",
    )
    sizes = []
    for event in engine.events():
        if isinstance(event, Step) and event.step >= SETTLED and event.step % 100 == 50:
            sizes.append(Size.of(engine.process.pid))
    assert engine.process.wait(240) == 0
    assert len(sizes) == (STEPS - SETTLED) // 100
    # The least of each end: a figure is taken while something is under way, such as a checkpoint.
    quarter = max(2, len(sizes) // 4)
    first, last = sizes[:quarter], sizes[-quarter:]
    assert min(size.files for size in first) == min(size.files for size in last), sizes
    assert min(size.threads for size in first) == min(size.threads for size in last), sizes
    grown = min(size.memory for size in last) - min(size.memory for size in first)
    assert grown < TOLERANCE, [size.memory >> 20 for size in sizes]
