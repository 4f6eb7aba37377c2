"""A method on both runtimes: the same steps by packed passes and by the conventional loop, and each rebuilt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import load_file

from engine.export.rebuild import FoldingLoop
from engine.optimizer import Optimizer, probing_of
from engine.preset.method import Method
from engine.protocol.events import Step
from engine.runtimes.vllm import self_check
from tests.methods.cases import method
from tests.methods.one_engine import OneEngine, examples

STEPS, BATCH = 30, 4


@dataclass(frozen=True)
class Apart:
    """How far the two are from each other at most, over all steps: every loss of every direction, in nats, and weights.

    Attributes: moved, how far the weight matrix that moved least has moved.
    """

    losses: float
    weights: float
    moved: float


def apart(engine: OneEngine, case: str, steps: int = STEPS) -> Apart:
    """Take the steps of a case on both."""
    chosen = method(case)
    with TemporaryDirectory() as folder:
        fast, loop = engine.take(chosen), engine.loop(chosen)
        before = _weights(fast, Path(folder))
        ours, theirs = (_steps(one, chosen, range(steps)) for one in (fast, loop))
        fast.redraw(steps)
        moved, there = (_weights(one, Path(folder)) for one in (fast, loop))
    names = {matrix.name for matrix in fast.matrices()}
    return Apart(
        losses=max(
            abs(a - b)
            for one, other in zip(ours, theirs, strict=True)
            for a, b in zip(_losses(one), _losses(other), strict=True)
        ),
        weights=max(float((moved[name] - there[name]).abs().max()) for name in names),
        moved=min(float((moved[name] - before[name]).abs().max()) for name in names),
    )


def rebuilds(engine: OneEngine, case: str, interval: int) -> dict[str, bool]:
    """Whether a checkpoint within an interval and the journal give the very state that the steps led to.

    Of each runtime, in all that it saves and scores, and of a run's export, which has the journal alone.
    """
    chosen = method(case)
    optimizer = Optimizer(chosen, STEPS, "classification")
    some, same = examples(99, BATCH), {}
    for name in ("vllm", "training-loop"):
        with TemporaryDirectory() as folder:
            one: Any = engine.take(chosen) if name == "vllm" else engine.loop(chosen)
            journal = _steps(one, chosen, range(interval + 5))
            saved = Path(folder) / "checkpoint"
            one.save_weights(saved)
            first = one.weights_since()
            journal += _steps(one, chosen, range(interval + 5, 2 * interval + 2))
            expected, scores = _weights(one, Path(folder)), one.score(some)
            again: Any = engine.take(chosen) if name == "vllm" else engine.loop(chosen)
            before = max(0, first - 1)
            again.load_weights(saved, first, before - before % chosen.interval)
            for taken in journal[first:]:
                optimizer.replay(again, taken)
            same[name] = _same(_weights(again, Path(folder)), expected, ()) and again.score(some) == scores
            exported = engine.loop(chosen, FoldingLoop if name == "vllm" else type(one))
            for taken in journal:
                optimizer.replay(exported, taken)
            names = [matrix.name for matrix in one.matrices()]
            same[f"{name}, exported"] = _same(_weights(exported, Path(folder)), expected, names)
    return same


def goes_on_otherwise(engine: OneEngine, case: str, **changes: Any) -> dict[str, bool]:
    """Whether a fork that probes otherwise does the steps before it as they were taken, on each runtime."""
    taken_by, forked = method(case), method(case, **changes)
    some, same = examples(99, BATCH), {}
    for name in ("vllm", "training-loop"):
        one: Any = engine.take(taken_by) if name == "vllm" else engine.loop(taken_by)
        journal = _steps(one, taken_by, range(13))
        scores = one.score(some)
        other: Any = engine.take(forked) if name == "vllm" else engine.loop(forked)
        for taken in journal:
            Optimizer(forked, STEPS, "classification").replay(other, taken)
        same[name] = other.score(some) == scores
    return same


def packed_as_public(engine: OneEngine, case: str, batch: int, dtype: str) -> tuple[bool, float]:
    """Whether packed passes score a batch, in chunks where it is larger than a pass, as vLLM's public API does.

    Within what the self-check takes for agreement; and the largest difference, in nats.
    """
    chosen = method(case)
    runtime = engine.take(chosen)
    _steps(runtime, chosen, range(2))
    some, probing = examples(1, batch), probing_of(chosen, batch)
    packed = runtime.probe(2, probing, chosen.eps, some)
    runtime.use_public_api()
    public = runtime.probe(2, probing, chosen.eps, some)
    found = [
        self_check.verdict(some, [ours.plus, ours.minus], [theirs.plus, theirs.minus], dtype)
        for ours, theirs in zip(packed, public, strict=True)
    ]
    return all(agreed for agreed, _ in found), max(worst for _, worst in found)


def _steps(runtime: Any, method: Method, numbers: range) -> list[Step]:
    """These steps of a run of `STEPS`."""
    optimizer = Optimizer(method, STEPS, "classification")
    batches = [examples(step, BATCH) for step in range(numbers.start, numbers.stop + 1)]
    return [optimizer.step(runtime, step, *batches[index : index + 2]) for index, step in enumerate(numbers)]


def _losses(step: Step) -> tuple[float, ...]:
    assert step.loss_plus != step.loss_minus
    return (step.loss, step.loss_plus, step.loss_minus, *step.losses_plus, *step.losses_minus)


def _weights(runtime: Any, folder: Path) -> dict[str, torch.Tensor]:
    """All that a checkpoint would hold."""
    path = folder / f"{len(list(folder.iterdir()))}.safetensors"  # what was loaded from a file goes with it
    runtime.save_weights(path)
    return load_file(path)


def _same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], names: Any) -> bool:
    wanted = names or first.keys() | second.keys()
    return all(torch.equal(first[name], second[name]) for name in wanted)
