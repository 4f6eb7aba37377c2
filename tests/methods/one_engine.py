"""One vLLM engine that takes one method after the other: a start of vLLM costs more than the steps of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from engine.directions.fold import FoldMode
from engine.directions.space import space_of
from engine.models.facts import read_model
from engine.optimizer import probing_of
from engine.preset.method import Method
from engine.runtimes.base import Needs
from engine.runtimes.training_loop import TrainingLoop
from engine.runtimes.vllm.capacity import plan_capacity
from engine.tasks.example import Example
from engine.updates.base import rule_of

LONGEST = 45  # tokens of a sequence: two pages of KV
OPTIONS = (((7,), (8, 9, 10), (11, 12)), ((5,), (6,)))  # of several tokens, and of one


class OneEngine:
    """A model in vLLM, and in transformers as often as it is asked for.

    Attributes: runtime, vLLM's, as the last method has it.
    """

    def __init__(
        self,
        path: Path,
        *,
        batch: int = 8,
        rank: int = 16,
        signs: int = 16,
        dtype: str = "float32",
        longest: int = LONGEST,
        random_weights: bool = False,
    ) -> None:
        """`rank`, `signs`: the most that a method may ask for, of a rank and of what is scored in one pass; what is
        of more than `longest` tokens is scored through vLLM's public API."""
        from engine.runtimes.vllm.runtime import VllmRuntime
        from engine.runtimes.vllm.support import unadaptable

        self._path, self._dtype, self._batch, self._longest = path, dtype, batch, longest
        self._facts = read_model(str(path), trust_remote_code=False, weights=not random_weights)
        assert not unadaptable(self._facts.architecture)
        self._fold: FoldMode = "nearest" if dtype == "float32" else "residual"
        self._folder = TemporaryDirectory()
        self._start = Path(self._folder.name) / "start.safetensors"
        method = Method(rank=rank, queries=signs // 2)  # type: ignore[call-arg]
        self.runtime = VllmRuntime(
            self._facts,
            space=space_of(method),
            seed=0,
            needs=self._needs(method),
            memory_needed=2**30,
            fold=self._fold,
            dtype=dtype,
            device="cpu",
            random_weights=random_weights,
        )
        self.runtime.save_weights(self._start)

    def take(self, method: Method, *, batch: int | None = None) -> Any:
        """The engine with slots for a method, sized to batches of `batch`, at the weights that it began with."""
        runtime, needs = self.runtime, self._needs(method, batch)
        block = runtime._block
        plan = plan_capacity(needs, block)
        names = [matrix.name for matrix in self._facts.matrices]
        runtime._call(
            "zo_open",
            names,
            space_of(method),
            rule_of(method),
            needs.probing,
            0,
            plan.signs,
            self._fold,
            "philox",
            None,
            [],
        )
        runtime._scoring = runtime._scoring_for(needs, plan)
        runtime.use_public_api(False)
        runtime._since = 0
        self._restart(method)
        return runtime

    def loop(self, method: Method, kind: type[TrainingLoop] = TrainingLoop) -> Any:
        """The same model in transformers."""
        space, rule = space_of(method), rule_of(method)
        return kind(str(self._path), dtype=self._dtype, device="cpu", space=space, rule=rule, seed=0, fold=self._fold)

    def close(self) -> None:
        """End the engine."""
        self.runtime.close()
        self._folder.cleanup()

    def _restart(self, method: Method) -> None:
        self.runtime.load_weights(self._start, 0, 0)

    def _needs(self, method: Method, batch: int | None = None) -> Needs:
        return Needs(
            batch=batch or self._batch,
            longest=self._longest,
            options=3,
            option_tokens=3,
            probing=probing_of(method, batch or self._batch),
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it, torch has one: models as tiny as these are quicker so."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def examples(number: int, count: int) -> list[Example]:
    """A batch. Prompts of 5 to 42 tokens; one begins as another does, for what they share is scored once."""
    generator = torch.Generator().manual_seed(number)

    def drawn(low: int, high: int, count: int) -> list[int]:
        return torch.randint(low, high, (count,), generator=generator).tolist()

    prompts = [drawn(3, 500, length) for length in drawn(5, LONGEST - 3, count - 1)]
    prompts.append([*max(prompts, key=len)[:33], *drawn(3, 500, 7)])
    options = OPTIONS[number % 3 == 2]
    return [Example(tuple(prompt), options, row % len(options)) for row, prompt in enumerate(prompts)]
