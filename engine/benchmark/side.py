"""One measuring process: it holds one runtime and takes the steps that it is told to take.

`python -m engine.benchmark.side CONFIG`, requests and answers as JSON lines. The training loop has one
process, and vLLM another, which serves three paths: `vllm`, `floor` and `public`.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from engine.environment import prepare, prepare_device
from engine.errors import EXIT_USAGE, UserError
from engine.machine import hardware, versions
from engine.preset.method import Method
from engine.stdio import leave, take_stdout

_SAMPLE = 0.005  # seconds between two looks at the resident memory


@dataclass(frozen=True)
class Config:
    """What both processes measure."""

    side: str  # loop | vllm
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


def main() -> int:
    """Open the runtime, then answer requests until there are no more."""
    answers = os.fdopen(take_stdout(), "w", buffering=1)
    prepare()
    config = Config(**json.loads(sys.argv[1]))

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")

    try:
        path = _Vllm(config) if config.side == "vllm" else _Loop(config)
    except UserError as error:
        answer({"error": str(error)})
        return EXIT_USAGE
    answer({"ready": config.side, **path.describe()})
    for line in sys.stdin:
        request = json.loads(line)
        name, number = request["path"], request["step"]
        if request["peak"]:
            answer({"peak_bytes": path.peak(partial(path.take, name, number))})
        else:
            answer(path.take(name, number))
    return 0


class _Paths:
    """What the two processes have in common: the batch, the method, the clock and the memory."""

    def __init__(self, config: Config) -> None:
        from engine.benchmark.batches import examples
        from engine.directions.fold import choose_fold
        from engine.methods.lozo import Lozo
        from engine.models.facts import read_model
        from engine.preflight.fits import check_memory
        from engine.runtimes.base import Needs, Runtime

        self.config = config
        self.facts = read_model(config.model, trust_remote_code=False, weights=not config.random_weights)
        # Redraws are timed by themselves, never within a step.
        self.method = Method(rank=config.rank, queries=config.queries, interval=10**9)  # type: ignore[call-arg]
        self.lozo = Lozo(self.method, 10**9, "classification")
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
            queries=config.queries,
        )
        self.fold = choose_fold("auto", config.dtype)
        self.memory, _ = check_memory(
            self.facts,
            self.needs,
            self.method,
            dtype=config.dtype,
            device=config.device,
            runtime="vllm" if config.side == "vllm" else "training-loop",
            fold=self.fold,
            limit_gib=None,
        )
        self.runtime: Runtime

    def describe(self) -> dict[str, Any]:
        """What the results hold for."""
        import torch

        return {
            "threads": torch.get_num_threads(),
            "parameters": self.facts.parameters,
            "scope_parameters": sum(m.rows * m.cols for m in self.facts.matrices),
            "factors_per_rank": sum(m.rows + m.cols for m in self.facts.matrices),
            "hardware": hardware(),
            "versions": versions(),
        }

    def take(self, name: str, step: int) -> dict[str, Any]:
        """Take one step by one path; returns `seconds` and what else is known of it."""
        raise NotImplementedError

    def peak(self, act: Callable[[], Any]) -> int:
        """Peak bytes while `act` runs: of the device where it counts them, else resident memory."""
        import torch

        gc.collect()
        if self.config.device != "cpu":
            torch.cuda.reset_peak_memory_stats()
            act()
            return torch.cuda.max_memory_allocated()
        with _resident() as highest:
            act()
        return highest[0]

    def timed(self, act: Callable[[], Any]) -> tuple[float, Any]:
        """Seconds from an idle device to an idle device, and what `act` returned."""
        self._synchronize()
        started = time.perf_counter()
        found = act()
        self._synchronize()
        return time.perf_counter() - started, found

    def _synchronize(self) -> None:
        if self.config.device != "cpu":
            import torch

            torch.cuda.synchronize()


class _Loop(_Paths):
    """The conventional loop: three perturbations in place, two padded forward passes, one update."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        from engine.runtimes.training_loop import TrainingLoop

        self.runtime = TrainingLoop(
            config.model,
            dtype=config.dtype,
            device=config.device,
            rank=config.rank,
            seed=0,
            random_weights=config.random_weights,
        )
        self.runtime.redraw(0)

    def take(self, name: str, step: int) -> dict[str, Any]:
        seconds, result = self.timed(lambda: self.lozo.step(self.runtime, step, self.examples))
        lengths = [len(e.prompt) + len(option) for e in self.examples for option in e.options]
        padded = 2 * self.config.queries * len(lengths) * max(lengths)
        return {"seconds": seconds, "tokens": result.tokens, "padded_tokens": padded, "loss": result.loss}


class _Vllm(_Paths):
    """vLLM: as shipped, its bare forward pass on the same tokens, and its public API."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        prepare_device(config.device)
        from engine.preflight.choose import check_architecture
        from engine.runtimes.vllm.runtime import VllmRuntime

        check_architecture(self.facts)
        self.vllm = VllmRuntime(
            self.facts,
            dtype=config.dtype,
            device=config.device,
            rank=config.rank,
            seed=0,
            needs=self.needs,
            memory_needed=self.memory.total,
            plain_copies=self.memory.copies > 0,
            fold=self.fold,
            random_weights=config.random_weights,
        )
        self.runtime = self.vllm
        self.runtime.redraw(0)

    def take(self, name: str, step: int) -> dict[str, Any]:
        self.vllm.forward_seconds()
        if name == "floor":
            # The forward pass alone: what leads up to it, a step of the path `vllm` pays.
            tokens = self.vllm.floor(self.examples, self.config.queries)
            return {"seconds": self.vllm.forward_seconds(), "tokens": tokens}
        if name == "fold":
            seconds, _ = self.timed(lambda: self.vllm.redraw(step))
            return {"seconds": seconds}
        self.vllm.use_public_api(name == "public")
        seconds, result = self.timed(lambda: self.lozo.step(self.vllm, step, self.examples, self.examples))
        return {
            "seconds": seconds,
            "tokens": result.tokens,
            "loss": result.loss,
            "forward_seconds": self.vllm.forward_seconds(),
            "recorded": self.vllm.recorded(),
        }


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


def encode(config: Config) -> str:
    """The argument that starts a process with `config`."""
    return json.dumps(asdict(config))


if __name__ == "__main__":
    leave(main())
