"""`python -m tests.benchmarks.host_time`: processor time of a step, where a GPU would be at work meanwhile.

Simulated: there is no GPU. Models have the layers of the real ones and next to no width, so that what is left is
Python and torch's way to a kernel; and a recorded pass is replayed by doing nothing. Prints Markdown.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from engine.environment import prepare, prepare_device
from engine.estimators.probing import Probing

_LAYERS = {"OPT-1.3B": 24, "OPT-13B": 40}
_STEPS = 40
_BATCH = 16


def main() -> int:
    """The command."""
    prepare()
    prepare_device("cpu")
    import torch

    torch.set_num_threads(1)
    print("| layers of | a pass, done the ordinary way | a step with it | a step with a recorded one |")
    print("| --- | --- | --- | --- |")
    for name, layers in _LAYERS.items():
        passes, ordinary, recorded = measured(layers)
        print(f"| {name} | {passes * 1e3:.1f} ms | {ordinary * 1e3:.1f} ms | {recorded * 1e3:.1f} ms |")
    return 0


def measured(layers: int) -> tuple[float, float, float]:
    """Processor seconds of `Forward.run`, and of a whole step with it and without."""
    from engine.benchmark.batches import examples
    from engine.models.facts import read_model
    from engine.preflight.choose import choose_for
    from engine.runtimes.base import Needs, Upcoming
    from engine.runtimes.vllm.runtime import VllmRuntime
    from engine.runtimes.vllm.worker.graphs import Graphs

    with tempfile.TemporaryDirectory() as folder:
        facts = read_model(str(write_model(Path(folder), layers)), trust_remote_code=False)
        choose_for(facts, "vllm", "vllm", "", "cpu")
        batch = examples(_BATCH, vocabulary=512, options=2, option_tokens=1, length=None, seed=0)
        needs = Needs(_BATCH, max(example.length for example in batch), options=2, option_tokens=1)
        runtime = VllmRuntime(
            facts, dtype="float32", device="cpu", seed=0, needs=needs, memory_needed=2**30, fold="nearest"
        )
    worker = runtime._llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker  # type: ignore[attr-defined]
    runtime.redraw(0)
    steps = count()

    def step() -> None:
        number = next(steps)
        runtime.probe(number, Probing(), 1e-3, batch, Upcoming(number + 1, batch))
        runtime.update(number, [1e-6], 1.0)

    laid_out = worker._zo_forward.upload(worker._zo_pack(batch, 2), 2)
    passes = taken(lambda: worker._zo_forward.run(laid_out))
    ordinary = taken(step)
    worker._zo_record_longest = needs.longest + 1
    worker._zo_graphs = Graphs(_once)
    recorded = taken(step)
    assert runtime.recorded() == 1
    runtime.close()
    return passes, ordinary, recorded


def _once(work: Callable[[], Any]) -> Callable[[], Any]:
    """A recording that is replayed by doing nothing."""
    values = work()
    return lambda: values


def taken(act: Callable[[], Any]) -> float:
    """Processor seconds of doing it, the median of many times."""
    act()
    act()
    seconds = []
    for _ in range(_STEPS):
        began = time.process_time()
        act()
        seconds.append(time.process_time() - began)
    return statistics.median(seconds)


def write_model(folder: Path, layers: int) -> Path:
    """An OPT of so many layers and 64 columns, with random weights."""
    from transformers import OPTConfig, OPTForCausalLM

    config = OPTConfig(
        vocab_size=512, hidden_size=64, ffn_dim=256, num_hidden_layers=layers, num_attention_heads=1,
        word_embed_proj_dim=64, max_position_embeddings=128,
    )  # fmt: skip
    OPTForCausalLM(config).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
