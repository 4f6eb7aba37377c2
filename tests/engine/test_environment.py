"""What a user's environment says of numbers, devices and vLLM's insides does not win; what is overruled is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from engine.protocol.events import Hello, Log
from tests.engine.conftest import needs_vllm
from tests.live_engine import Engine

# As of somebody who serves with vLLM on the same machine, or is in a hurry.
THEIRS = {
    "VLLM_USE_V2_MODEL_RUNNER": "1",
    "VLLM_USE_FLASHINFER_SAMPLER": "1",
    "VLLM_FLOAT32_MATMUL_PRECISION": "medium",
    "NVIDIA_TF32_OVERRIDE": "1",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1",
    "TRITON_F32_DEFAULT": "tf32",
    "CUDA_DEVICE_ORDER": "FASTEST_FIRST",
    "TORCHDYNAMO_DISABLE": "1",
    "TORCH_COMPILE_DISABLE": "1",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
}
OURS = {
    "VLLM_USE_V2_MODEL_RUNNER": "0",
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    "VLLM_FLOAT32_MATMUL_PRECISION": "highest",
    "TRITON_F32_DEFAULT": "ieee",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
}

_PREPARES = f"""
import json, os
from engine import environment
environment.prepare()
environment.prepare()  # as a spare engine does
import torch
torch.set_float32_matmul_precision("medium")
environment.prepare_device("cuda:0")
matmul = torch.backends.cuda.matmul
print(json.dumps({{
    "environ": {{name: os.environ[name] for name in {list(THEIRS)} if name in os.environ}},
    "told": environment.overruled(),
    "coarse": [
        matmul.allow_tf32, matmul.allow_fp16_reduced_precision_reduction, matmul.allow_bf16_reduced_precision_reduction
    ],
    "compiled": not torch._dynamo.config.disable,
}}))
"""


def prepared(theirs: dict[str, str]) -> dict[str, Any]:
    """What a process has after it was prepared for a GPU. torch's settings are the same in a build for the CPU."""
    environ = {name: value for name, value in os.environ.items() if name not in THEIRS}
    environ |= {**theirs, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", _PREPARES], capture_output=True, text=True, env=environ, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_what_decides_numbers_and_devices_is_not_left_to_the_environment() -> None:
    found = prepared(THEIRS)
    assert found["environ"] == OURS
    assert found["coarse"] == [False] * 3
    assert found["compiled"]
    assert {name for name in THEIRS if name not in found["told"]} == {"PYTORCH_NVML_BASED_CUDA_CHECK"}  # vLLM's own
    assert "zotui is written against vLLM's V1 model runner" in found["told"]


def test_nothing_is_told_where_nothing_was_overruled() -> None:
    found = prepared({"VLLM_USE_V2_MODEL_RUNNER": "0"})
    assert (found["environ"], found["told"]) == (OURS, "")


@needs_vllm
def test_a_vllm_without_the_v1_runner_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated: every release so far has it."""
    from engine.environment import prepare_device
    from engine.runtimes.vllm import support

    prepare_device("cpu")
    assert support.problem("cpu") == ""
    monkeypatch.setattr(support.importlib.util, "find_spec", lambda name: None if "model_runner" in name else object())
    assert "has no V1 model runner, which zotui is written against" in support.problem("cpu")


def test_a_run_tells_once_what_it_overruled(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_USE_V2_MODEL_RUNNER", "1")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    engine: Engine = start()
    engine.until(Hello)
    (told,) = [event for event in engine.of(Log) if "your environment" in event.text]
    assert told.level == "info"
    assert "NVIDIA_TF32_OVERRIDE, VLLM_USE_V2_MODEL_RUNNER (engine/environment.py says why); zotui" in told.text
