"""`python -m tests.benchmarks.rebuild_cost`: what rebuilding a long run costs, measured on one block of a large model.

An export takes all journaled steps again, a resume those that its newest checkpoint does not hold; neither scores
anything: directions are drawn, U_acc is updated, intervals are folded. What a small checkpoint holds of an interval,
whose folds a resume does again, is told beside it. All of it grows with the number of blocks, so one block of real
size, moved by the code that runs move by, tells the whole. Prints Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from engine.environment import prepare
from engine.models.known_shapes import SHAPES
from engine.preset.method import Method
from engine.protocol.events import Step
from engine.text import in_bytes

_STEPS = 20_000
# Of one H200 and the processor that feeds it: assumed, not measured.
_BANDWIDTH = 3.8e12  # bytes a second, four fifths of the data sheet's
_LAUNCH = 5e-6  # seconds of a kernel that has nothing to do
# Bytes of an entry that a fold reads and writes: the weight, and in 16 bits the residual beside it.
_MOVED = 8
_KERNELS_OF_A_STEP = 2  # all directions drawn, U_acc moved by them
_KERNELS_OF_A_FOLD = 2  # for each matrix: the fold, and the sample of what was kept


@dataclass
class _Taken:
    """Seconds of every step short of its fold, and of every fold."""

    steps: list[float] = field(default_factory=list)
    folds: list[float] = field(default_factory=list)


def main() -> int:
    """The command."""
    arguments = _arguments()
    prepare()
    import torch

    from engine.preflight.choose import describe_device

    shape = SHAPES[arguments.shape]
    device, blocks = torch.device(arguments.device), shape["num_hidden_layers"]
    folds = -(-_STEPS // arguments.interval)
    print(f"{arguments.shape}, one block of {blocks}, rank {arguments.rank}, {describe_device(arguments.device)}\n")
    print(f"| weights | a step | a fold | {blocks} blocks, {_STEPS:,} steps and {folds} folds | of an interval |")
    print("| --- | --- | --- | --- | --- |")
    estimates = []
    for dtype in ("float32", "bfloat16"):
        taken, entries, matrices, learned = replay_block(
            shape, dtype, device, rank=arguments.rank, interval=arguments.interval, steps=arguments.steps
        )
        step, fold = statistics.median(taken.steps), statistics.median(taken.folds)
        drawn, folded = blocks * _STEPS * step, blocks * folds * fold
        cells = f"{step * 1e3:.2f} ms | {fold:.3f} s | {drawn / 60:.1f} min and {folded / 60:.1f} min"
        print(f"| {dtype} | {cells} | {in_bytes(4 * blocks * learned)} |")
        kernels = blocks * matrices * _KERNELS_OF_A_FOLD
        gpu_step = _KERNELS_OF_A_STEP * _LAUNCH
        gpu_fold = max(blocks * entries * _MOVED / _BANDWIDTH, kernels * _LAUNCH)
        estimates.append(
            f"Estimate, not a measurement: {dtype} on one GPU: {_KERNELS_OF_A_STEP} kernels a step of an assumed "
            f"{_LAUNCH * 1e6:.0f} us each, {_STEPS * gpu_step / 60:.1f} min; a fold: {kernels:,} kernels, "
            f"{_MOVED} bytes an entry at an assumed {_BANDWIDTH:.2g} bytes a second, {gpu_fold:.3f} s: "
            f"{folds * gpu_fold / 60:.1f} min."
        )
    print("\n" + "\n".join(estimates))
    return 0


def replay_block(
    shape: dict[str, Any], dtype: str, device: Any, *, rank: int, interval: int, steps: int
) -> tuple[_Taken, int, int, int]:
    """Replay `steps` steps on one block; returns what they took, the entries of its matrices, how many those are, and
    the numbers that are learned of them."""
    from engine.optimizer import Optimizer

    block = _Block(shape, dtype, device, rank)
    method = Optimizer(Method(rank=rank, interval=interval), steps, "classification")  # type: ignore[call-arg]
    taken = Step(step=0, eps=1e-3, lr=1e-6, projected_grad=1.0)
    for step in range(steps):
        began = block.began()
        method.replay(block, structs.replace(taken, step=step))  # type: ignore[arg-type]
        block.taken.steps.append(block.seconds_since(began))
    block.taken.folds = block.taken.folds[1:]  # at the first there is nothing to fold
    return block.taken, block.entries, block.matrices, block.learned


class _Block:
    """The matrices of one block, moved as `engine.runtimes.vllm.worker.worker` moves them."""

    def __init__(self, shape: dict[str, Any], dtype: str, device: Any, rank: int) -> None:
        import torch

        from engine.directions.fold import choose_fold
        from engine.directions.learned import Learned
        from engine.directions.space import Space
        from engine.models.facts import dtype_of
        from engine.models.weights import Matrix

        wide, inner = shape["hidden_size"], shape["ffn_dim"]
        sizes = {f"self_attn.{name}_proj": (wide, wide) for name in "qkv"} | {"self_attn.out_proj": (wide, wide)}
        sizes |= {"fc1": (inner, wide), "fc2": (wide, inner)}
        named = [Matrix(f"model.decoder.layers.0.{name}.weight", *size) for name, size in sizes.items()]
        self._learned = Learned(named, Space(rank=rank), 0, device, choose_fold("auto", dtype), "philox")
        generator = torch.Generator(device).manual_seed(0)
        self._weights = [
            torch.empty(m.rows, m.cols, dtype=dtype_of(dtype), device=device).normal_(std=0.02, generator=generator)
            for m in named
        ]
        self._device = device
        self.taken = _Taken()
        self.entries = sum(m.rows * m.cols for m in named)
        self.matrices, self.learned = len(named), self._learned.learned.numel()

    def redraw(self, step: int) -> None:
        """Fold and draw V anew; timed by itself."""
        began = self.began()
        if self._learned.dirty:
            for state, weight in zip(self._learned.states, self._weights, strict=True):
                state.fold_into(weight, step)
            self._learned.folded()
        self._learned.redraw(step)
        self.taken.folds.append(self.seconds_since(began))

    def replay_probe(self, step: int, probing: Any, eps: float) -> None:
        """Probes in slots leave no trace in the weights."""

    def update(self, step: int, gradients: Sequence[float], lr: float) -> None:
        """As the worker's."""
        self._learned.learn(step, gradients, lr)

    def began(self) -> tuple[float, int]:
        """Now, and how many folds there were."""
        self._wait()
        return time.perf_counter(), len(self.taken.folds)

    def seconds_since(self, began: tuple[float, int]) -> float:
        """Seconds since then, short of the folds in between."""
        self._wait()
        return time.perf_counter() - began[0] - sum(self.taken.folds[began[1] :])

    def _wait(self) -> None:
        if self._device.type == "cuda":
            import torch

            torch.cuda.synchronize()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.rebuild_cost")
    parser.add_argument("--shape", choices=list(SHAPES), default="opt-13b")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--interval", type=int, default=50)
    parser.add_argument("--rank", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
