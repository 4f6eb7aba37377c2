"""What a user's environment says of numbers, devices and vLLM's insides does not win; what is overruled is told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from engine.protocol.events import Hello, Log, Step
from engine.runs.directory import RunDir
from engine.variables import FORCED, dropped
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
    "TRITON_CACHE_AUTOTUNING": "1",
}
OURS = {
    "VLLM_USE_V2_MODEL_RUNNER": "0",
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    "VLLM_FLOAT32_MATMUL_PRECISION": "highest",
    "TRITON_F32_DEFAULT": "ieee",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
}

# Each is of another kind: of vLLM's, of its servers', of a launcher's, of numbers, of which code computes.
MORE_OF_THEIRS = {
    "VLLM_CPU_KVCACHE_SPACE": "8",
    "VLLM_CPU_OMP_THREADS_BIND": "0",
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "1",
    "VLLM_PLUGINS": "theirs",
    "VLLM_TARGET_DEVICE": "tpu",
    "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
    "VLLM_BATCH_INVARIANT": "1",
    "VLLM_CONFIGURE_LOGGING": "0",
    "VLLM_LOGGING_CONFIG_PATH": "/nowhere/logging.json",
    "VLLM_LOGGING_LEVEL": "what",
    "VLLM_LOGGING_STREAM": "ext://sys.stdout",
    "VLLM_MODEL_REDIRECT_PATH": "/nowhere/redirect.json",
    "VLLM_USE_MODELSCOPE": "1",
    "VLLM_PORT": "tcp://10.0.0.1:8000",  # Kubernetes sets it beside a service of that name
    "VLLM_WHAT_A_LATER_RELEASE_READS": "1",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "1",
    "MASTER_PORT": "29500",
    "USE_TF": "1",
    "USE_HUB_KERNELS": "1",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "MKL_CBWR": "COMPATIBLE",
    "CUBLAS_WORKSPACE_CONFIG": ":0:0",
    "TORCHINDUCTOR_MAX_AUTOTUNE": "1",
    "TRITON_INTERPRET": "1",
    "PYTORCH_TUNABLEOP_ENABLED": "1",
    "PROMETHEUS_MULTIPROC_DIR": "/nowhere/prometheus",
}
# Limits, places and what is only logged.
THEIR_RIGHT = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "ACTIVE",
    "CUDA_VISIBLE_DEVICES": "1",
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    "HF_HOME": "/nowhere/hf",
    "HF_ENDPOINT": "https://mirror.example",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "VLLM_CACHE_ROOT": "/nowhere/vllm",
    "TRITON_CACHE_DIR": "/nowhere/triton",
    "TORCHINDUCTOR_CACHE_DIR": "/nowhere/inductor",
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
    "environ": {{name: os.environ[name] for name in {[*THEIRS, *MORE_OF_THEIRS, *THEIR_RIGHT]} if name in os.environ}},
    "told": environment.overruled(),
    "coarse": [
        matmul.allow_tf32, matmul.allow_fp16_reduced_precision_reduction, matmul.allow_bf16_reduced_precision_reduction
    ],
    "compiled": not torch._dynamo.config.disable,
}}))
"""


def prepared(theirs: dict[str, str]) -> dict[str, Any]:
    """What a process has after it was prepared for a GPU. torch's settings are the same in a build for the CPU."""
    ours = {name: value for name, value in os.environ.items() if not dropped(name) and name not in FORCED}
    environ = {name: value for name, value in ours.items() if name not in {**THEIRS, **THEIR_RIGHT}}
    environ |= {**theirs, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", _PREPARES], capture_output=True, text=True, env=environ, timeout=240)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_what_decides_numbers_and_devices_is_not_left_to_the_environment() -> None:
    found = prepared(THEIRS)
    assert found["environ"].items() >= OURS.items() and not found["environ"].keys() & (THEIRS.keys() - OURS.keys())
    assert found["coarse"] == [False] * 3
    assert found["compiled"]
    vllms_own = {"PYTORCH_NVML_BASED_CUDA_CHECK", "TRITON_CACHE_AUTOTUNING"}
    assert {name for name in THEIRS if name not in found["told"]} == vllms_own
    assert "zotui is written against vLLM's V1 model runner" in found["told"]


def test_what_others_set_for_their_own_programs_reaches_no_library() -> None:
    found = prepared(MORE_OF_THEIRS)
    left = {name: value for name, value in found["environ"].items() if name in MORE_OF_THEIRS}
    assert left == {name: FORCED[name] for name in MORE_OF_THEIRS if name in FORCED}
    named = found["told"].partition(": ")[2].partition(" (")[0].split(", ")
    assert named == sorted(MORE_OF_THEIRS)  # each once, though a spare engine prepares twice
    assert found["told"].endswith("; KV space is sized to the run")


def test_what_is_the_users_right_stays_and_is_not_told() -> None:
    found = prepared(THEIR_RIGHT)
    assert found["environ"].items() >= THEIR_RIGHT.items()
    assert found["told"] == ""
    assert not any(map(dropped, THEIR_RIGHT)) and not THEIR_RIGHT.keys() & FORCED.keys()


def test_nothing_is_told_where_nothing_was_overruled() -> None:
    found = prepared({"VLLM_USE_V2_MODEL_RUNNER": "0"})
    assert found["environ"].items() >= OURS.items()
    assert found["told"] == ""


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
    assert "NVIDIA_TF32_OVERRIDE, VLLM_USE_V2_MODEL_RUNNER (engine/variables.py says why); zotui" in told.text


@needs_vllm
def test_a_run_has_the_kv_space_that_was_sized_whatever_a_server_was_given(start: Any, tiny_models: Any) -> None:
    settings = ("model.runtime=vllm", f"model.path={tiny_models['llama']}", "run.steps=3")
    plain: Engine = start(*settings)
    under: Engine = start(*settings, environment={**MORE_OF_THEIRS, "TORCHDYNAMO_DISABLE": "0"})
    assert [engine.finish() for engine in (plain, under)] == [0, 0]
    losses = [[(step.loss_plus, step.loss_minus) for step in engine.of(Step)] for engine in (plain, under)]
    assert len(losses[0]) == 3 and losses[0] == losses[1]
    spaces = [_kv_space(engine.run) for engine in (plain, under)]
    assert spaces[0] == spaces[1] and float(spaces[0]) < 0.1  # GiB; vLLM would have taken 8
    (told,) = [event.text for event in under.of(Log) if "your environment" in event.text]
    assert all(name in told for name in (*MORE_OF_THEIRS, "TORCHDYNAMO_DISABLE"))
    assert [engine.run.info.read().runtime for engine in (plain, under)] == ["vllm", "vllm"]


def _kv_space(run: RunDir) -> str:
    """GiB, as vLLM says that it takes them."""
    (found,) = re.findall(r"Explicitly set \(([\d.]+)/[\d.]+\) GiB for KV cache", run.log_file.read_text())
    return str(found)
