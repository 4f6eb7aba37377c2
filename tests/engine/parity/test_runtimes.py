"""The vLLM runtime takes the steps that the conventional loop takes, on real vLLM."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.engine.conftest import Runner, needs_vllm
from tests.engine.states import weights_of
from tests.families.models import lacking_here

TOLERANCE = 1e-5
# 31 steps: the vllm runtime's checkpoint holds the weights of the last fold, at step 30.
SETTINGS = ("run.steps=31", "run.checkpoint_every=30", "run.eval_every=10")


def compare(run: Runner, model: Path, *settings: str, folded_at: int = 30) -> None:
    """`folded_at`: the step whose weights the last checkpoint of vllm holds."""
    fast = run(f"model.path={model}", "model.runtime=vllm", *SETTINGS, *settings)
    loop = run(f"model.path={model}", "model.runtime=training-loop", *SETTINGS, *settings)
    assert (fast.code, loop.code) == (0, 0), fast.stderr + loop.stderr
    assert fast.of("hello")[0]["runtime"] == "vllm"
    assert loop.of("hello")[0]["runtime"] == "training-loop"
    packed = [log["text"] for log in fast.of("log") if "packed scoring agrees" in log["text"]]
    assert len(packed) == 1  # the fast path was taken, not its fallback
    steps = list(zip(fast.of("step"), loop.of("step"), strict=True))
    assert len(steps) == 31
    for a, b in steps:
        for key in ("loss", "loss_plus", "loss_minus"):
            assert abs(a[key] - b[key]) < TOLERANCE, (a["step"], key)
    # They agree because both moved, not because neither did.
    assert len({a["loss_plus"] for a, _ in steps}) == 31
    for a, b in zip(fast.of("eval"), loop.of("eval"), strict=True):
        assert abs(a["metrics"]["loss"] - b["metrics"]["loss"]) < TOLERANCE
    folded = weights_of(fast.folder, 31)
    moved = weights_of(loop.folder, folded_at)
    assert folded.keys() == moved.keys()
    assert all((folded[name] - moved[name]).abs().max() < TOLERANCE for name in moved)
    start = load_file(model / "model.safetensors")
    began = {name: start[name] for name in moved if name in start}
    began |= {name: torch.zeros_like(moved[name]) for name in moved if "lora_B" in name}
    assert began and all((moved[name] - began[name]).abs().max() > TOLERANCE for name in began)


@needs_vllm
@pytest.mark.parametrize("layout", ["opt", "llama", "qwen2", "qwen3-moe", "mixtral"])
def test_same_losses_and_weights_on_every_layout(tiny_run: Runner, tiny_models: dict[str, Path], layout: str) -> None:
    if lacking := lacking_here(layout):
        pytest.skip(lacking)
    compare(tiny_run, tiny_models[layout])


@needs_vllm
def test_same_with_options_of_several_tokens_and_several_queries(
    tiny_run: Runner, tiny_models: dict[str, Path]
) -> None:
    compare(
        tiny_run,
        tiny_models["qwen3"],
        'task.verbalizer={0 = "not worth seeing", 1 = "great fun"}',
        "method.queries=2",
        "method.schedule=linear",
    )


@needs_vllm
@pytest.mark.parametrize("layout", ["opt", "llama"])
@pytest.mark.parametrize(
    "method",
    [
        ("name=mobizo", "rank=4", "alpha=8", "lr=5e-3"),
        ("name=mezo-lora", "rank=4", "alpha=8", "lr=2e-3"),
        ("name=mezo-lora", "rank=9", "alpha=12", "lr=2e-3", "shards=2", "queries=2"),
        ("name=mezo", "scope=linear", "lr=3e-4"),
        ("name=mezo", "scope=all", "lr=1e-4", "queries=2", "sides=one"),
    ],
    ids=["mobizo", "mezo-lora", "mezo-lora-shards", "mezo-linear", "mezo-all"],
)
def test_same_for_adapters_and_dense_directions(
    tiny_run: Runner, tiny_models: dict[str, Path], layout: str, method: tuple[str, ...]
) -> None:
    settings = [f"method.{setting}" for setting in method]
    compare(tiny_run, tiny_models[layout], "run.checkpoint_every=31", *settings, folded_at=31)


@needs_vllm
def test_same_for_language_modelling(tiny_run: Runner, tiny_models: dict[str, Path]) -> None:
    compare(
        tiny_run,
        tiny_models["opt"],
        "task.objective=lm",
        "task.template=A review:",
        "task.target={sentence}",
    )
