"""Every family goes by packed passes on real vLLM, and takes the steps that the conventional loop takes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.environment import prepare_device
from engine.models.facts import read_model
from engine.runtimes.base import Needs
from engine.tasks.example import Example
from tests.engine.conftest import needs_vllm
from tests.families.models import FAMILIES, lacking_here, write_model

if importlib.util.find_spec("vllm") is not None:
    from engine.runtimes.vllm.support import unadaptable

pytestmark = needs_vllm
TOLERANCE = 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_passes_take_the_steps_of_the_plain_loop(family: str, tmp_path: Path) -> None:
    from tests.families.compare import measure

    prepare_device("cpu")
    if lacking := lacking_here(family):
        pytest.skip(lacking)
    found = measure(write_model(family, tmp_path), steps=5, interval=2)
    if family in ("gpt2", "falcon"):
        assert "no LoRA support" in found.lacking
        return
    if "does not load here" in found.lacking:
        pytest.skip(found.lacking)
    assert found.packed and "agrees" in found.checked
    assert max(found.public, found.losses, found.weights) < TOLERANCE
    assert found.moved > 1e-2  # they agree because both moved, not because neither did


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_windows_of_cohere_2_end_where_vllm_says_on_either_path(tmp_path: Path, dtype: str) -> None:
    """There vLLM's has one token more than transformers', which is why the loop is not asked."""
    from transformers import AutoConfig

    from engine.runtimes.vllm.runtime import VllmRuntime

    prepare_device("cpu")
    path = write_model("cohere2", tmp_path)
    assert not unadaptable("Cohere2ForCausalLM")
    config = AutoConfig.from_pretrained(path)
    scores = []
    for window in (4, 8):
        config.sliding_window = window
        config.save_pretrained(path)
        needs = Needs(batch=4, longest=70, options=3, option_tokens=3)
        runtime = VllmRuntime(
            read_model(str(path), trust_remote_code=False), needs=needs, memory_needed=2**30, fold="nearest",
            dtype=dtype, device="cpu", seed=0,
        )  # fmt: skip
        batch = [Example(tuple(range(3, 3 + length)), ((7,), (8, 9, 10), (11, 12)), 0) for length in (60, 41, 9, 33)]
        assert "agrees" in runtime.self_check(batch)[1]
        scores.append(runtime.score(batch))
        runtime.close()
    assert scores[0] != scores[1]


def test_what_vllm_cannot_load_or_adapt_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm import ModelRegistry

    class Broken:
        def load_model_cls(self) -> Any:
            raise ModuleNotFoundError("No module named 'torchvision.transforms'")

    assert unadaptable("OPTForCausalLM") == ""
    assert unadaptable("GPT2LMHeadModel") == "vLLM has no LoRA support for GPT2LMHeadModel"
    assert unadaptable("NoSuchModel") == "vLLM has no LoRA support for NoSuchModel"
    monkeypatch.setitem(ModelRegistry.models, "Gemma3ForConditionalGeneration", Broken())
    said = unadaptable("Gemma3ForConditionalGeneration")
    assert said.startswith("vLLM's Gemma3ForConditionalGeneration does not load here (ModuleNotFoundError: No module")


def test_layers_that_hand_on_a_dimension_more_are_given_it_back(tmp_path: Path) -> None:
    """Also where only the scored rows are computed, and where the input is the same for every sign."""
    from engine.runtimes.vllm.runtime import VllmRuntime

    prepare_device("cpu")
    facts = read_model(str(write_model("llama", tmp_path)), trust_remote_code=False)
    assert not unadaptable(facts.architecture)
    needs = Needs(batch=1, longest=8, options=1, option_tokens=1)
    runtime = VllmRuntime(
        facts, needs=needs, memory_needed=2**30, fold="nearest", dtype="float32", device="cpu", seed=0
    )
    runtime.redraw(0)
    from engine.runtimes.vllm.worker.slots import Sign

    runtime._call("zo_perturb", 0, [Sign(0, 1e-2), Sign(0, -1e-2)], 1)
    worker: Any = runtime._llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker  # type: ignore[attr-defined]
    layers = worker._zo_layers
    from engine.runtimes.vllm.worker.layers import Pass

    x = torch.randn(6, 128)
    x[3:] = x[:3]
    named = worker.model_runner.lora_manager._adapter_manager.modules
    with layers.during(Pass(2, 3, torch.tensor([1, 2]))):
        for name in ("model.layers.0.self_attn.qkv_proj", "model.layers.1.self_attn.o_proj"):
            flat = named[name].apply(x)
            assert torch.equal(named[name].apply(x[None]), flat[None])
            assert not torch.equal(flat[1], flat[4])  # the signs differ
    runtime.close()
