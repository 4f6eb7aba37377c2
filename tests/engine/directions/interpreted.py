"""`TRITON_INTERPRET=1 python -m tests.engine.directions.interpreted`: each kernel beside the processor's code.

Simulated: the kernels run in Triton's interpreter, on tensors of the processor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from unittest.mock import patch

import torch
import triton.runtime.interpreter

from engine.directions import gpu
from engine.directions.fold import Fold, FoldMode
from engine.directions.kept import Sample
from engine.directions.learned import Learned
from engine.directions.philox import ByCounter, Normals
from engine.directions.rademacher import Signs
from engine.directions.space import Space
from engine.estimators.probing import Probing
from engine.models.weights import Matrix
from engine.runtimes.vllm.worker.factors import Slice
from engine.runtimes.vllm.worker.slots import Sign, Slots
from engine.updates.base import Rule
from tests.rehearsal.simulated.arithmetic import mend

CPU = torch.device("cpu")
SEED = 5


def main() -> None:
    mend(triton.runtime.interpreter)
    told: dict[str, bool] = {}
    told["normals in parts"] = parts_are_alike()
    for law in (Normals, Signs):
        told[law.__name__] = numbers_are_alike(law)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        for rank in (1, 2, 3, 8):
            for mode in ("residual", "stochastic", "nearest"):
                if dtype is not torch.float32 or mode == "nearest":
                    told[f"{mode} fold, {dtype}, rank {rank}"] = folds_are_alike(mode, dtype, rank)  # type: ignore[arg-type]
            told[f"sample, {dtype}, rank {rank}"] = samples_are_alike(dtype, rank)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        for rank in (2, 8):
            told[f"slots, {dtype}, rank {rank}"] = slots_are_alike(dtype, Space(rank=rank))
        both = Space(coordinates="factors", basis="adapter", rank=4, scale=1.5)
        told[f"slots, {dtype}, both factors"] = slots_are_alike(dtype, both)
        for rank in (3, 8):  # three matrices share the product of the first
            core = Space(coordinates="core", basis="orthonormal", rank=rank)
            told[f"slots, {dtype}, cores, rank {rank}"] = slots_are_alike(dtype, core)
    for count, by_kernels in ((1, False), (3, False), (4, True), (7, False)):
        told[f"residuals of {count} matrices in the host's memory"] = host_residuals_are_alike(count, by_kernels)
    print(json.dumps(told))


def numbers_are_alike(law: type[ByCounter]) -> bool:
    tensors = [("a", 1000), ("b", 2048), ("c", 77), ("d", 8), ("e", 1), ("f", 9001), ("g", 256)]
    counts = [count for _, count in tensors]
    ours, theirs = torch.empty(sum(counts)), torch.empty(sum(counts))
    law(SEED, "u", tensors, CPU).fill(ours, 3, 1)
    with kernels_run(True):
        law(SEED, "u", tensors, CPU).fill(theirs, 3, 1)
    return torch.equal(ours, theirs)


def parts_are_alike() -> bool:
    tensors = [("a", 5000), ("b", 9001)]
    results = []
    for on_gpu in (False, True):
        with kernels_run(on_gpu):
            normals = Normals(SEED, "z", tensors, CPU)
            out = torch.full((9001 + 2,), 7.0)  # beyond its end nothing is written, nor before its beginning
            for first, last in ((0, 2048), (2048, 3072), (3072, 9001)):
                normals.fill_part(out[1 + first : 1 + last], 1, first, 3, 1)
            results.append(out)
    ours, theirs = results
    return torch.equal(ours, theirs) and float(ours[0]) == float(ours[-1]) == 7.0 and len(ours.unique()) > 8000


def case(dtype: torch.dtype, rank: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A weight with zeros of both signs, its residual, and factors of an update."""
    random = torch.Generator().manual_seed(rank)
    weight = torch.randn(67, 150, generator=random).mul_(0.02)
    weight[0, :9] = 0.0
    weight[1, :9] = -0.0
    residual = torch.randint(-(2**15), 2**15, weight.shape, generator=random).to(torch.int16)
    u, v = torch.randn(67, rank, generator=random) * 1e-3, torch.randn(150, rank, generator=random)
    return weight.to(dtype), residual, u, v


def folds_are_alike(mode: FoldMode, dtype: torch.dtype, rank: int) -> bool:
    weight, residual, u, v = case(dtype, rank)
    results = []
    for on_gpu in (False, True):
        with kernels_run(on_gpu):
            fold = Fold(Matrix("m", 67, 150), mode, SEED, CPU)
        there, rest = weight.clone(), residual.clone() if mode == "residual" else None
        fold.add(there, rest, u, v, 7)
        results.append((there, rest))
    (ours, our_rest), (theirs, their_rest) = results
    same = torch.equal(ours, theirs) and not torch.equal(ours, weight)
    return same and (our_rest is None or their_rest is None or torch.equal(our_rest, their_rest))


def samples_are_alike(dtype: torch.dtype, rank: int) -> bool:
    weight, residual, u, v = case(dtype, rank)
    rest = residual if dtype is not torch.float32 else None
    results = []
    for on_gpu in (False, True):
        with kernels_run(on_gpu):
            sample = Sample(Matrix("m", 67, 150), rank, SEED, CPU)
        sample.begin(weight, rest)
        moved = weight + (u @ v.T).to(dtype)
        for _ in range(2):
            sample.folded(u, v, moved, rest)
        assert sample.sums is not None
        results.append(sample.sums.clone())
    # Sums of thousands, in another order: the last bits of a double.
    return torch.allclose(results[0], results[1], rtol=1e-12, atol=0) and bool(results[0].all())


def slots_are_alike(dtype: torch.dtype, space: Space) -> bool:
    """A layer of three matrices, the second of another height, and one of one."""
    results = []
    for on_gpu in (False, True):
        slots = made_slots(dtype, space, on_gpu)
        with kernels_run(on_gpu):
            slots.redraw(0)
            slots.learned.learn(0, [0.1, -0.2], 2.0)
            slots.perturb(1, [Sign(query, side) for query in (0, 1) for side in (1e-3, -1e-3)], 1)
        pieces = [(piece.a.clone(), piece.b.clone()) for piece in slots.slices]
        slots.settle()
        pieces += [(piece.a.clone(), piece.b[:1].clone()) for piece in slots.slices]
        is_core = space.coordinates == "core"
        pieces += [(piece.left, piece.state.left.T.to(dtype)) for piece in slots.slices if is_core]
        # What is between the matrices, and beside them, is zeros.
        there = [f.a for f in slots.of_layer.values()]
        there += [slots._b[:1], *(lift.left for f in slots.of_layer.values() for lift in f.lifts)]
        own = [part for piece in slots.slices for part in (piece.a, piece.b[:1])]
        own += [piece.left for piece in slots.slices if is_core]
        padding, written = (sum(float(part.double().abs().sum()) for part in parts) for parts in (there, own))
        results.append((pieces, abs(padding - written) < 1e-3 * written))
    (ours, fine), (theirs, also_fine) = results
    same = all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(ours, theirs, strict=True))
    return same and fine and also_fine and all(bool(b.any()) for _, b in ours)


def host_residuals_are_alike(count: int, by_kernels: bool) -> bool:
    """Matrices of different sizes, folded again and again, with one look at all residuals in between.

    How the residuals come and go does not depend on what folds them, and interpreted kernels take long.
    """
    matrices = [Matrix(f"m{index}", 20 + 3 * index, 30 - index) for index in range(count)]
    results = []
    for fold in ("residual", "host-residual"):
        random = torch.Generator().manual_seed(0)
        weights = [torch.randn(m.rows, m.cols, generator=random).mul_(0.02).half() for m in matrices]
        with kernels_run(by_kernels), streams():
            learned = Learned(matrices, Space(), SEED, CPU, fold, "philox")  # type: ignore[arg-type]
            for step in range(4):
                learned.learn(step, [1e-4], 1.0)
                for state, weight in zip(learned.states, weights, strict=True):
                    state.fold_into(weight, step)
                learned.folded()
                learned.redraw(step + 1)
                if step == 1:
                    learned.settle()
        results.append((weights, [state.fold.residual for state in learned.states]))
    (weights, residuals), (again, on_host) = results
    pairs = [*zip(weights, again, strict=True), *zip(residuals, on_host, strict=True)]
    return all(torch.equal(a, b) for a, b in pairs) and all(bool(rest.any()) for rest in residuals)


@contextmanager
def streams() -> Iterator[None]:
    """Within this there are CUDA streams, which do everything at once, and memory that is said to be pinned."""

    class Stream:
        def __init__(self, device: object = None) -> None:
            pass

        def wait_stream(self, other: object) -> None:
            pass

        def wait_event(self, event: object) -> None:
            pass

        def synchronize(self) -> None:
            pass

    class Event:
        def record(self, stream: object = None) -> None:
            pass

    empty = torch.empty
    with (
        patch.multiple(
            torch.cuda,
            Stream=Stream,
            Event=Event,
            current_stream=lambda device=None: Stream(),
            stream=lambda stream: nullcontext(),
        ),
        patch.object(torch, "empty", lambda *size, pin_memory=False, **named: empty(*size, **named)),
    ):
        yield


def made_slots(dtype: torch.dtype, space: Space, on_gpu: bool) -> Slots:
    layers = [SimpleNamespace(), SimpleNamespace()]
    slices, offset = [], 0
    for index, rows in enumerate((40, 24, 24)):
        slices.append(Slice(Matrix(f"qkv{index}", rows, 64), layers[0], index, offset))
        offset += rows
    slices.append(Slice(Matrix("fc", 50, 40), layers[1], 0, 0))
    with kernels_run(on_gpu):
        return Slots(
            slices, space=space, rule=Rule(), probing=Probing(), seed=SEED, signs=4, dtype=dtype, device=CPU,
            fold="nearest", drawn="philox",
        )  # fmt: skip


@contextmanager
def kernels_run(yes: bool) -> Iterator[None]:
    """Within this, what is made has its work done by kernels."""
    before, gpu.runs_kernels = gpu.runs_kernels, lambda device: yes
    try:
        yield
    finally:
        gpu.runs_kernels = before


if __name__ == "__main__":
    main()
