"""One measuring process: it holds one runtime and takes the steps that it is told to take.

`python -m engine.benchmark.side CONFIG`, requests and answers as JSON lines. The training loop has one
process, and vLLM another, which serves three paths: `vllm`, `floor` and `public`.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, TypeVar

import msgspec

from engine import machine
from engine.environment import prepare, prepare_device
from engine.errors import EXIT_USAGE, UserError
from engine.preset.method import Method
from engine.stdio import leave, take_stdout

_SAMPLE = 0.005  # seconds between two looks at the resident memory

_Returned = TypeVar("_Returned")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What a process measures; both the same, but for the side."""

    side: Literal["loop", "vllm"]
    model: str  # folder
    random_weights: bool
    dtype: str
    device: str
    batch_size: int
    options: int
    option_tokens: int
    length: int | None
    rank: int
    queries: int
    method: str = "lozo"


class Request(msgspec.Struct, frozen=True):
    """One step by one path."""

    path: str
    step: int
    peak: bool = False  # whether its memory is asked for, instead of its time


class Ready(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """First answer: what the results hold for; see `engine.protocol.figures.BenchFigures`."""

    threads: int
    parameters: int
    scope_parameters: int
    factors_per_rank: int
    hardware: dict[str, str | int]
    versions: dict[str, str]


class Refused(msgspec.Struct, tag=True, frozen=True):
    """First and last answer: what the user can mend."""

    text: str


class Turn(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """A step that was taken, and what its path knows of it."""

    seconds: float
    tokens: int = 0
    padded_tokens: int | None = None
    loss: float | None = None
    forward_seconds: float = 0.0
    recorded: int = 0  # shapes of a pass


class Peak(msgspec.Struct, tag=True, frozen=True):
    """The highest memory of a step."""

    bytes: int


Answer = Ready | Refused | Turn | Peak


def main() -> int:
    """Open the runtime, then answer requests until there are no more."""
    answers = os.fdopen(take_stdout(), "wb", buffering=0)
    prepare()
    config = msgspec.json.decode(sys.argv[1], type=Config)

    def answer(value: Answer) -> None:
        answers.write(msgspec.json.encode(value) + b"\n")

    try:
        path = Vllm(config) if config.side == "vllm" else Loop(config)
    except UserError as error:
        answer(Refused(str(error)))
        return EXIT_USAGE
    answer(path.describe())
    for line in sys.stdin:
        request = msgspec.json.decode(line, type=Request)
        take = partial(path.take, request.path, request.step)
        answer(path.peak(take) if request.peak else take())
    return 0


class _Paths:
    """What the two processes have in common: the batch, the method, the clock and the memory."""

    def __init__(self, config: Config) -> None:
        from engine.benchmark.batches import examples
        from engine.directions.space import space_of
        from engine.models.facts import read_model
        from engine.optimizer import Optimizer, probing_of
        from engine.preflight.checks import check_memory
        from engine.preflight.folds import folds_for
        from engine.runtimes.base import Needs, Runtime
        from engine.updates.base import rule_of

        self.config = config
        # Redraws are timed by themselves, never within a step.
        self.method = Method(name=config.method, rank=config.rank, queries=config.queries, interval=10**9)  # type: ignore[call-arg]
        scope = self.method.scope
        self.facts = read_model(config.model, trust_remote_code=False, weights=not config.random_weights, scope=scope)
        self.space, self.rule = space_of(self.method), rule_of(self.method)
        self.optimizer = Optimizer(self.method, 10**9, "classification")
        self.probing = probing_of(self.method, config.batch_size)
        self.examples = examples(
            config.batch_size,
            vocabulary=self.facts.vocabulary,
            options=config.options,
            option_tokens=config.option_tokens,
            length=config.length,
            seed=0,
        )
        longest = max(example.length for example in self.examples)
        if longest > self.facts.context:
            raise UserError(f"--length: {longest} tokens are more than the model's {self.facts.context}")
        self.needs = Needs(
            batch=config.batch_size,
            longest=longest,
            options=config.options,
            option_tokens=config.option_tokens,
            probing=self.probing,
        )
        setting: dict[str, Any] = {
            "dtype": config.dtype,
            "device": config.device,
            "runtime": "vllm" if config.side == "vllm" else "training-loop",
        }
        self.fit = check_memory(
            self.facts,
            self.needs,
            self.method,
            folds=folds_for("auto", "", scope=scope, **setting),
            limit_gib=None,
            **setting,
        )
        self.runtime: Runtime

    def describe(self) -> Ready:
        """What the results hold for."""
        import torch

        return Ready(
            threads=torch.get_num_threads(),
            parameters=self.facts.parameters,
            scope_parameters=sum(m.rows * m.cols for m in self.facts.matrices),
            factors_per_rank=sum(m.rows + m.cols for m in self.facts.matrices),
            hardware=machine.hardware(),
            versions=machine.versions(),
        )

    def take(self, name: str, step: int) -> Turn:
        """Take one step by one path."""
        raise NotImplementedError

    def peak(self, act: Callable[[], object]) -> Peak:
        """The peak while `act` runs: of the device where it counts memory, else resident memory."""
        import torch

        gc.collect()
        if self.config.device != "cpu":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            act()
            return Peak(torch.cuda.max_memory_reserved())  # with what recorded passes have, which is allocated once
        with _resident() as highest:
            act()
        return Peak(highest[0])

    def timed(self, act: Callable[[], _Returned]) -> tuple[float, _Returned]:
        """Seconds from an idle device to an idle device, and what `act` returned."""
        self._synchronize()
        started = time.perf_counter()
        returned = act()
        self._synchronize()
        return time.perf_counter() - started, returned

    def _synchronize(self) -> None:
        if self.config.device != "cpu":
            import torch

            torch.cuda.synchronize()


class Loop(_Paths):
    """The conventional loop: three perturbations in place, two padded forward passes, one update."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        from engine.runtimes.training_loop import TrainingLoop

        self.runtime = TrainingLoop(
            config.model,
            dtype=config.dtype,
            device=config.device,
            space=self.space,
            scope=self.method.scope,
            rule=self.rule,
            seed=0,
            random_weights=config.random_weights,
        )
        self.runtime.redraw(0)

    def take(self, name: str, step: int) -> Turn:
        if name == "redraw":
            seconds, _ = self.timed(lambda: self.runtime.redraw(step))
            return Turn(seconds=seconds)
        seconds, result = self.timed(lambda: self.optimizer.step(self.runtime, step, self.examples))
        lengths = [len(e.prompt) + len(option) for e in self.examples for option in e.options]
        scored = 2 * self.method.queries if self.method.sides == "two" else 1 + self.method.queries
        padded = scored * len(lengths) * max(lengths)
        return Turn(seconds=seconds, tokens=result.tokens, padded_tokens=padded, loss=result.loss)


class Vllm(_Paths):
    """vLLM: as shipped, its bare forward pass on the same tokens, and its public API."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        prepare_device(config.device)
        from engine.preflight.choose import choose_for
        from engine.preflight.compiler import check_compiler
        from engine.runtimes.vllm.runtime import VllmRuntime

        check_compiler(config.device)
        choose_for(self.facts, "vllm", "vllm", "", config.device)
        self.vllm = VllmRuntime(
            self.facts,
            dtype=config.dtype,
            device=config.device,
            space=self.space,
            rule=self.rule,
            seed=0,
            needs=self.needs,
            memory_needed=self.fit.memory.total,
            plain_copies=self.fit.memory.copies > 0,
            fold=self.fit.fold,
            random_weights=config.random_weights,
        )
        self.runtime = self.vllm
        self.runtime.redraw(0)

    def take(self, name: str, step: int) -> Turn:
        self.vllm.forward_seconds()
        if name == "floor":
            # The forward pass alone: what leads up to it, a step of the path `vllm` pays.
            tokens = self.vllm.floor(self.examples, self.probing)
            return Turn(seconds=self.vllm.forward_seconds(), tokens=tokens)
        if name == "fold":
            seconds, _ = self.timed(lambda: self.vllm.redraw(step))
            return Turn(seconds=seconds)
        self.vllm.use_public_api(name == "public")
        seconds, result = self.timed(lambda: self.optimizer.step(self.vllm, step, self.examples, self.examples))
        return Turn(
            seconds=seconds,
            tokens=result.tokens,
            loss=result.loss,
            forward_seconds=self.vllm.forward_seconds(),
            recorded=self.vllm.recorded(),
        )


@contextmanager
def _resident() -> Iterator[list[int]]:
    """The highest resident memory of this process, in bytes, seen within."""
    import psutil

    process = psutil.Process()
    highest = [process.memory_info().rss]
    done = threading.Event()

    def look() -> None:
        while not done.wait(_SAMPLE):
            highest[0] = max(highest[0], process.memory_info().rss)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield highest
    finally:
        done.set()
        watcher.join()


if __name__ == "__main__":
    leave(main())
