"""The vLLM runtime by itself: its two paths, its chunks, its folds and its low precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file

from engine import environment
from engine.model_files import read_model
from engine.runtime import Needs
from engine.task import Example

from .conftest import needs_vllm

if TYPE_CHECKING:
    from engine.vllm_runtime import VllmRuntime

pytestmark = needs_vllm
OPTIONS = ((7,), (8, 9, 10), (11, 12))


@pytest.fixture
def open_runtime(tiny_models: dict[str, Path]) -> Iterator[Callable[..., VllmRuntime]]:
    opened: list[Any] = []

    def open_runtime(layout: str = "opt", dtype: str = "float32", batch: int = 2) -> VllmRuntime:
        environment.prepare_device("cpu")
        from engine.vllm_runtime import VllmRuntime
        from engine.vllm_seam.architecture import adaptable

        facts = read_model(str(tiny_models[layout]), trust_remote_code=False)
        assert adaptable(facts.architecture)
        opened.append(
            VllmRuntime(
                facts,
                dtype=dtype,
                device="cpu",
                rank=2,
                interval=10,
                seed=0,
                needs=Needs(batch=batch, longest=70, options=3),
                memory_needed=2**30,
            )
        )
        return opened[-1]

    yield open_runtime
    for runtime in opened:
        runtime.close()


def examples(count: int, options: tuple[tuple[int, ...], ...] = OPTIONS) -> list[Example]:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(5, 64, (count,), generator=generator).tolist()
    prompts = [tuple(torch.randint(3, 500, (n,), generator=generator).tolist()) for n in lengths]
    return [Example(prompt, options, 0) for prompt in prompts]


def worst(first: list[list[float]], second: list[list[float]]) -> float:
    return max(abs(a - b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True))


def test_packed_and_public_scores_agree_in_chunks_after_folds_and_for_either_sign(open_runtime: Any) -> None:
    runtime = open_runtime()
    assert "agrees" in runtime.self_check(examples(4), 1e-3)
    batch = examples(40)  # far more than the capacity planned for batches of 2
    runtime.redraw(0)
    runtime.probe(0, 0, 1e-3, batch[:2])
    runtime.update(0, [0.01])
    runtime.redraw(10)  # folds
    runtime.update(10, [0.01])
    packed, settled = runtime.probe(10, 0, 1e-2, batch), runtime.score(batch)
    runtime.use_public_api()
    public, public_settled = runtime.probe(10, 0, 1e-2, batch), runtime.score(batch)
    for a, b in ((packed.plus, public.plus), (packed.minus, public.minus), (settled, public_settled)):
        assert worst(a, b) < 1e-4
    assert worst(packed.plus, packed.minus) > 1e-3
    assert packed.tokens < public.tokens  # the prompt was shared


def test_a_packed_path_that_fails_or_differs_gives_way_to_the_public_one(
    open_runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = open_runtime()
    call = runtime._call

    def broken(method: str, *args: Any) -> Any:
        if method == "zo_score":
            raise AttributeError("no attn_groups")
        return call(method, *args)

    monkeypatch.setattr(runtime, "_call", broken)
    assert "packed scoring failed" in runtime.self_check(examples(4), 1e-3)
    assert runtime.probe(0, 0, 1e-3, examples(2)).tokens > 0  # the run goes on

    def wrong(method: str, *args: Any) -> Any:
        found = call(method, *args)
        if method == "zo_score":
            found[0][1][0][1] += 0.5
        return found

    monkeypatch.setattr(runtime, "_call", wrong)
    runtime._direct = True
    assert "differs from vLLM's public API by 0.5" in runtime.self_check(examples(4), 1e-3)
    assert not runtime._direct


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_scores_both_ways_and_folds_in_its_own_precision(
    open_runtime: Any, tmp_path: Path, dtype: str
) -> None:
    runtime = open_runtime("llama", dtype)
    assert "agrees" in runtime.self_check(examples(4), 1e-2)
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    runtime.save_weights(before)
    runtime.redraw(0)
    runtime.update(0, [0.01])
    learned = {s.matrix.name: s.state.learned @ s.state.v.T for s in slices(runtime)}
    runtime.redraw(10)
    runtime.save_weights(after)
    old, new = load_file(before), load_file(after)
    for name, change in learned.items():
        assert new[name].dtype == getattr(torch, dtype)
        assert torch.equal(new[name], (old[name].float() + change).to(new[name].dtype))


def test_saved_weights_are_the_models_own_and_load_back(
    open_runtime: Any, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    runtime = open_runtime("qwen2")
    path = tmp_path / "w.safetensors"
    runtime.save_weights(path)
    original, saved = load_file(tiny_models["qwen2"] / "model.safetensors"), load_file(path)
    assert all(torch.equal(saved[name], original[name]) for name in saved)
    before = runtime.score(examples(3))
    runtime.redraw(0)
    runtime.update(0, [0.05])
    runtime.redraw(10)
    assert worst(before, runtime.score(examples(3))) > 1e-3
    runtime.load_weights(path)
    assert worst(before, runtime.score(examples(3))) == 0.0


def slices(runtime: Any) -> list[Any]:
    """The worker's own state, through vLLM's in-process engine."""
    worker = runtime._llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker
    return list(worker._zo_slices)
