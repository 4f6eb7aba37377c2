"""Small checkpoints: what was learned in each interval leads from the model's files to the same weights, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.directions.intervals import SMALL
from engine.directions.space import space_of
from engine.environment import prepare_device
from engine.models.facts import read_model
from engine.optimizer import probing_of
from engine.preset.method import Method
from engine.runtimes.base import Needs
from engine.updates.base import rule_of
from tests.engine.conftest import needs_vllm

pytestmark = needs_vllm


@pytest.fixture
def opened(tiny_models: dict[str, Path]) -> Iterator[Callable[..., Any]]:
    prepare_device("cpu")
    from engine.runtimes.vllm.runtime import VllmRuntime
    from engine.runtimes.vllm.support import unadaptable

    every: list[Any] = []

    def opened(layout: str, method: Method, dtype: str, fold: str) -> Any:
        for one in every:  # one at a time
            one.close()
        every.clear()
        facts = read_model(str(tiny_models[layout]), trust_remote_code=False)
        assert not unadaptable(facts.architecture)
        needs = Needs(batch=2, longest=16, options=2, option_tokens=1, probing=probing_of(method, 2))
        every.append(
            VllmRuntime(
                facts, dtype=dtype, device="cpu", seed=3, space=space_of(method), rule=rule_of(method), needs=needs,
                memory_needed=2**30, fold=fold,  # type: ignore[arg-type]
            )
        )  # fmt: skip
        return every[-1]

    yield opened
    for one in every:
        one.close()


def learn(runtime: Any, method: Method, steps: range) -> None:
    for step in steps:
        if step % method.interval == 0:
            runtime.redraw(step)
        count = probing_of(method, 2).directions
        runtime.update(step, [1.0 + step + direction for direction in range(count)], 1e-3)


def whole(runtime: Any, path: Path) -> dict[str, torch.Tensor]:
    runtime.save_weights(path)
    return load_file(path)


def equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("layout", "dtype", "fold", "name"),
    [
        ("opt", "float32", "nearest", "lozo"),
        ("llama", "bfloat16", "residual", "lozo-m"),  # whose momentum is carried over
        ("opt", "bfloat16", "stochastic", "lozo"),
        ("qwen3", "float16", "nearest", "zo-muon"),
        ("mixtral", "bfloat16", "residual", "lozo"),
        ("opt", "bfloat16", "residual", "subzero"),
    ],
)
def test_a_small_file_leads_to_the_same_weights(
    opened: Callable[..., Any], tmp_path: Path, layout: str, dtype: str, fold: str, name: str
) -> None:
    method = Method(name=name, interval=3, rank=2)  # type: ignore[call-arg]
    runtime = opened(layout, method, dtype, fold)
    untouched = whole(runtime, tmp_path / "untouched")
    learn(runtime, method, range(8))  # two folds, and two steps that are not folded
    assert runtime.save_learned(tmp_path / "small") and runtime.weights_since() == 6
    then = whole(runtime, tmp_path / "then")
    assert not equal(then, untouched)
    assert (tmp_path / "small").stat().st_size < (tmp_path / "then").stat().st_size / SMALL
    # Back within a run that has gone on, to be taken from there to the same end.
    learn(runtime, method, range(8, 10))
    end = whole(runtime, tmp_path / "end")
    runtime.load_learned(tmp_path / "small", 6, 6)
    assert equal(whole(runtime, tmp_path / "back"), then)
    learn(runtime, method, range(6, 10))
    assert equal(whole(runtime, tmp_path / "again"), end)
    assert runtime.save_learned(tmp_path / "later")
    # And in another process' runtime, with its own copy of the model.
    other = opened(layout, method, dtype, fold)
    other.load_learned(tmp_path / "later", 9, 9)
    assert equal(whole(other, tmp_path / "there"), end)
    learn(other, method, range(9, 13))
    other.load_learned(tmp_path / "small", 6, 6)
    learn(other, method, range(6, 10))
    assert equal(whole(other, tmp_path / "once more"), end)


def test_what_is_not_small_is_written_whole(opened: Callable[..., Any], tmp_path: Path) -> None:
    method = Method(interval=1, rank=2)  # type: ignore[call-arg]
    runtime = opened("opt", method, "bfloat16", "residual")
    told = []
    for step in range(40):
        learn(runtime, method, range(step, step + 1))
        told.append(runtime.save_learned(tmp_path / "small"))
    size = (tmp_path / "small").stat().st_size
    assert told[0] and not told[-1] and told == sorted(told, reverse=True)
    assert size < len((tmp_path / "w").read_bytes() if whole(runtime, tmp_path / "w") else b"") / SMALL + 16384
    # Nor is what comes after weights that were loaded whole: what led to them is not known.
    runtime.load_weights(tmp_path / "w", 39, 39)
    assert not runtime.save_learned(tmp_path / "none") and not (tmp_path / "none").exists()
