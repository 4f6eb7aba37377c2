"""`python -m tests.benchmarks.methods`: what a packed step of each method costs, beside the bare pass and LoZO's step.

At the shape of OPT-125M, batch 16, prompts as long as SST-2's, float32, on one thread of the processor, in seconds of
its time: what else the machine does changes those the least. All methods in one process, in one engine; a step and the
floor in turns. Redraws, and the folds that they begin with, are left out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from engine.environment import prepare, prepare_device
from engine.stdio import leave, take_stdout

_METHODS = {
    "lozo": {"name": "lozo"},
    "lozo-m": {"name": "lozo-m"},
    "mezo-factorized": {"name": "mezo-factorized"},
    "fzoo": {"name": "fzoo"},
    "grzo": {"name": "grzo"},
    "zo-muon": {"name": "zo-muon"},
    "subzero": {"name": "subzero"},
    "subzero+, 7 queries": {"name": "subzero", "update": "adam", "sides": "one", "queries": 7},
    "kerzoo": {"name": "kerzoo"},
}


def main() -> int:
    """Print the table."""
    os.environ["OMP_NUM_THREADS"] = "1"
    data = take_stdout()
    prepare()
    prepare_device("cpu")

    from engine.benchmark.batches import examples
    from engine.models.known_shapes import write_shape
    from engine.optimizer import Optimizer, probing_of
    from engine.preset.method import Method
    from tests.methods.one_engine import OneEngine

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.methods", description=__doc__)
    parser.add_argument("--method", nargs="+", choices=_METHODS, default=list(_METHODS), metavar="METHOD")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    batch = examples(16, vocabulary=50_000, options=2, option_tokens=1, length=None, seed=0)
    plain = 0.0
    os.write(
        data, b"| method | tokens | s/step | floor | times the floor | times lozo's step |\n|---|---|---|---|---|---|\n"
    )
    with TemporaryDirectory() as folder:
        engine = OneEngine(
            Path(write_shape("opt-125m", Path(folder))), batch=16, rank=128, signs=18, random_weights=True,
            longest=max(example.length for example in batch),
        )  # fmt: skip
        for name in asked.method:
            method = Method(**{**_METHODS[name], "interval": 10**9})
            runtime, optimizer = engine.take(method), Optimizer(method, 10**9, "classification")
            probing = probing_of(method, len(batch))
            runtime.redraw(0)
            tokens = optimizer.step(runtime, 1, batch, batch).tokens
            runtime.floor(batch, probing)
            steps, floors = [], []
            for step in range(2, 2 + asked.rounds):
                steps.append(_seconds(partial(optimizer.step, runtime, step, batch, batch)))
                floors.append(_seconds(partial(runtime.floor, batch, probing)))
            mine, floor = min(steps), min(floors)
            plain = plain or mine
            ratio = statistics.median(a / b for a, b in zip(steps, floors, strict=True))
            line = f"| {name} | {tokens:,} | {mine:.2f} | {floor:.2f} | {ratio:.3f} | {mine / plain:.2f} |\n"
            os.write(data, line.encode())
        engine.close()
    return 0


def _seconds(act: Callable[[], object]) -> float:
    """Of the processor's time."""
    began = time.process_time()
    act()
    return time.process_time() - began


if __name__ == "__main__":
    leave(main())
