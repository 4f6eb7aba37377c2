"""One family on both runtimes: the same steps by vLLM's packed passes, its public API and the conventional loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import load_file

from engine.directions.space import Space
from engine.estimators.probing import Probing
from engine.models.facts import read_model
from engine.optimizer import Optimizer
from engine.preset.method import Method
from engine.protocol.events import Step
from engine.runtimes.base import Needs
from engine.runtimes.training_loop import TrainingLoop
from engine.tasks.example import Example
from engine.tasks.objective import Scores

_QUERIES, _RANK, _BATCH = 2, 2, 4
_LONGEST = 70  # tokens: four windows, and two pages of KV on a CPU
_OPTIONS = (((7,), (8, 9, 10), (11, 12)), ((5,), (6,)))  # of several tokens, and of one


@dataclass(frozen=True)
class Measured:
    """What came of it.

    Attributes: lacking, why vLLM cannot adapt it; model, vLLM's class; checked, the self-check's line; public, the
    largest difference of a score from the public API's, in nats; losses and weights, the largest differences from
    the conventional loop's, over all steps and after the last fold; moved, how much the signs differ, in nats.
    """

    family: str
    lacking: str = ""
    model: str = ""
    packed: bool = False
    checked: str = ""
    public: float = 0.0
    losses: float = 0.0
    weights: float = 0.0
    moved: float = 0.0


def measure(path: Path, *, steps: int, interval: int) -> Measured:
    """Take the steps on both, on the conventional loop while vLLM's model is there: it leaves transformers alone."""
    from engine.runtimes.vllm.runtime import VllmRuntime
    from engine.runtimes.vllm.support import unadaptable

    facts = read_model(str(path), trust_remote_code=False)
    if lacking := unadaptable(facts.architecture):
        return Measured(path.name, lacking)
    common: dict[str, Any] = {"dtype": "float32", "device": "cpu", "space": Space(rank=_RANK), "seed": 0}
    needs = Needs(batch=_BATCH, longest=_LONGEST, options=3, option_tokens=3, probing=Probing(queries=_QUERIES))
    runtime = VllmRuntime(facts, needs=needs, memory_needed=2**30, fold="nearest", **common)
    try:
        level, checked = runtime.self_check(_batch(0))
        ours, moved_here = _trajectory(runtime, steps, interval)
        theirs, moved_there = _trajectory(TrainingLoop(str(path), **common), steps, interval)
        assert set(moved_here) == set(moved_there)
        packed, *_ = runtime.probe(steps, Probing(queries=_QUERIES), 1e-2, _batch(1))
        runtime.use_public_api()
        public, *_ = runtime.probe(steps, Probing(queries=_QUERIES), 1e-2, _batch(1))
        losses = [(a.loss_plus - b.loss_plus, a.loss_minus - b.loss_minus) for a, b in zip(ours, theirs, strict=True)]
        return Measured(
            family=path.name,
            model=_model_of(runtime),
            packed=level == "info",
            checked=checked,
            public=max(_worst(packed.plus, public.plus), _worst(packed.minus, public.minus)),
            losses=max(abs(gap) for pair in losses for gap in pair),
            weights=max(float((moved_here[name] - moved_there[name]).abs().max()) for name in moved_there),
            moved=_worst(packed.plus, packed.minus),
        )
    finally:
        runtime.close()


def _trajectory(runtime: Any, steps: int, interval: int) -> tuple[list[Step], dict[str, torch.Tensor]]:
    """The steps, and the matrices after the fold that follows them."""
    method = Method(name="lozo", rank=_RANK, interval=interval, eps=1e-2, lr=1e-4, queries=_QUERIES)
    optimizer = Optimizer(method, steps, "classification")
    taken = [optimizer.step(runtime, step, _batch(step)) for step in range(steps)]
    runtime.redraw(steps)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        runtime.save_weights(path)
        return taken, load_file(path)


def _batch(number: int) -> list[Example]:
    """Prompts of 5 to 67 tokens; one begins as another does, for what they share is scored once."""
    generator = torch.Generator().manual_seed(number)

    def drawn(low: int, high: int, count: int) -> list[int]:
        return torch.randint(low, high, (count,), generator=generator).tolist()

    prompts: list[Sequence[int]] = [drawn(3, 500, length) for length in drawn(5, _LONGEST - 3, _BATCH - 1)]
    prompts.append([*max(prompts, key=len)[:40], *drawn(3, 500, 9)])
    options = _OPTIONS[number % 3 == 2]
    return [Example(tuple(prompt), options, row % len(options)) for row, prompt in enumerate(prompts)]


def _worst(first: Scores, second: Scores) -> float:
    return max(abs(a - b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True))


def _model_of(runtime: Any) -> str:
    worker = runtime._llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker
    return type(worker.model_runner.get_model()).__name__
