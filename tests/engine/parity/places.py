"""Where the tests replay recordings: in one process, a model loaded once on each runtime, its weights put back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.environment import prepare_device
from engine.models.facts import read_model
from engine.parity.compare import Pair, recorded_step, summarise
from engine.parity.recording import Trajectory, kind_of, read_trajectory
from engine.parity.replay import Replay, in_place
from engine.parity.weights import Place
from engine.protocol.figures import ParitySummary
from tests.engine.conftest import needs_vllm

RUNTIMES = [pytest.param("training-loop"), pytest.param("vllm", marks=needs_vllm)]
Change = Callable[[Trajectory], Trajectory]


class Places:
    """A place for every model and runtime; whoever asks for it again gets it with the weights of its files."""

    def __init__(self) -> None:
        self._opened: dict[tuple[Path, str], tuple[Any, dict[str, torch.Tensor]]] = {}

    def of(self, model: Path, runtime: str) -> Place:
        from transformers import AutoModelForCausalLM

        if (model, runtime) not in self._opened:
            loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
            held = {name: parameter.detach() for name, parameter in loaded.named_parameters()}
            self._opened[model, runtime] = (self._open(model, runtime), held)
        place, held = self._opened[model, runtime]
        place.set_parameters(held)
        return place

    def _open(self, model: Path, runtime: str) -> Any:
        prepare_device("cpu")
        facts = read_model(str(model), trust_remote_code=False)
        if runtime == "training-loop":
            from engine.parity.training_loop import LoopPlace
            from engine.runtimes.training_loop import TrainingLoop

            return LoopPlace(TrainingLoop(facts.path, dtype="float32", device="cpu", seed=0))
        from engine.runtimes.base import Needs
        from engine.runtimes.vllm.runtime import VllmRuntime
        from engine.runtimes.vllm.support import unadaptable

        assert not unadaptable(facts.architecture)
        return VllmRuntime(
            facts, dtype="float32", device="cpu", seed=0, fold="nearest", memory_needed=2**30,
            needs=Needs(batch=16, longest=80, options=1, option_tokens=3),
        )  # fmt: skip

    def pairs(
        self, path: Path, model: Path, runtime: str, steps: int | None = None, change: Change = lambda found: found
    ) -> list[Pair]:
        """Take the first `steps` steps, or all, of a recording as `change` makes it, beside it as it is."""
        trajectory = read_trajectory(path)
        changed = change(trajectory)
        replay = Replay(changed, in_place(path, changed, self.of(model, runtime)))
        kind = kind_of(trajectory.method)
        return [Pair(step.step, replay.take(step.step), recorded_step(step, kind)) for step in trajectory.steps[:steps]]

    def replay(self, path: Path, model: Path, runtime: str, *args: Any, **options: Any) -> ParitySummary:
        """What they come to."""
        pairs = self.pairs(path, model, runtime, *args, **options)
        return summarise(pairs, 1e-5, runtime=runtime, reference="a recording")

    def close(self) -> None:
        for (_, runtime), (place, _) in self._opened.items():
            if runtime == "vllm":
                place.close()
