"""What only the engine can find, found before the first step: one line, exit 2, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.environment import prepare_device
from engine.errors import UserError
from engine.preflight.choose import choose_runtime
from tests.engine.conftest import Runner, needs_vllm


def refused(run: Runner, *settings: str) -> str:
    """The one line on standard error of a run that must be refused."""
    folder = run.home / "refused"
    done = run(*settings, folder=folder)
    assert done.code == 2, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not folder.exists()
    assert not done.of("step")
    return lines[0]


def model_like(models: dict[str, Path], target: Path, **changes: object) -> Path:
    """A copy of the small model with another configuration."""
    shutil.copytree(models["one-layer"], target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, **changes}))
    return target


def test_a_model_folder_that_is_not_there(tiny_run: Runner) -> None:
    line = refused(tiny_run, "model.path=/nowhere/opt")
    assert "model.path: /nowhere/opt: no such folder" in line


def test_a_folder_without_a_model(tiny_run: Runner, tmp_path: Path) -> None:
    line = refused(tiny_run, f"model.path={tmp_path}")
    assert "no config.json" in line


def test_a_model_without_weights(tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    model = model_like(tiny_models, tmp_path / "empty")
    (model / "model.safetensors").unlink()
    line = refused(tiny_run, f"model.path={model}")
    assert f"model.path: {model}" in line
    assert "weights" in line


def test_a_data_file_that_is_not_there(tiny_run: Runner) -> None:
    line = refused(tiny_run, "task.train=/nowhere/train.jsonl")
    assert "task.train" in line
    assert "/nowhere/train.jsonl" in line


def test_a_column_that_the_template_names_and_the_file_has_not(tiny_run: Runner) -> None:
    line = refused(tiny_run, "task.template={sentance} It was")
    assert "task.template: no column 'sentance'" in line
    assert "did you mean 'sentence'" in line


def test_a_label_without_verbalizer(tiny_run: Runner) -> None:
    line = refused(tiny_run, 'task.verbalizer={1 = "great", 2 = "fine"}')
    assert "label '0' is not in task.verbalizer" in line


def test_examples_longer_than_the_context_are_counted(tiny_run: Runner) -> None:
    line = refused(tiny_run, "model.max_length=20")
    assert "of 48 examples are longer than 20 tokens" in line
    assert "task.too_long=truncate" in line
    assert tiny_run("model.max_length=20", "task.too_long=truncate", "run.steps=1").code == 0


def test_a_gpu_that_is_not_there(tiny_run: Runner) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU")
    assert "torch sees no such GPU" in refused(tiny_run, "model.device=cuda")


def test_more_memory_than_there_is(tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    huge = model_like(
        tiny_models,
        tmp_path / "huge",
        hidden_size=16384,
        word_embed_proj_dim=16384,
        ffn_dim=65536,
        num_hidden_layers=200,
        num_attention_heads=128,
    )
    line = refused(tiny_run, f"model.path={huge}")
    assert "needs about" in line
    assert "GiB are available" in line


def test_a_memory_limit_is_kept(tiny_run: Runner) -> None:
    assert "0.1 GiB are available" in refused(tiny_run, "model.memory_limit_gib=0.1")


@needs_vllm
def test_an_architecture_without_lora_support(tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, CodeGenConfig

    model = tmp_path / "codegen"
    config = CodeGenConfig(vocab_size=512, n_positions=128, n_embd=64, n_layer=1, n_head=4, rotary_dim=8)
    AutoModelForCausalLM.from_config(config).save_pretrained(model)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_models["one-layer"] / file, model)
    line = refused(tiny_run, f"model.path={model}", "model.runtime=vllm")
    assert "CodeGenForCausalLM" in line
    assert "model.runtime=training-loop" in line


def test_vllm_asked_for_where_it_is_not_installed(tiny_run: Runner, tmp_path: Path) -> None:
    """In a Python that cannot find vLLM: a folder of the real one would hide it, so a hook does."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'vllm' else find(name, package)\n"
    )

    path = f"{hook}{os.pathsep}{os.environ['PYTHONPATH']}"

    def run(runtime: str, name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(sys.executable, "-m", "zotui", "run", str(tiny_run.preset), "--json"),
                *("--run-dir", str(tmp_path / name)),
                *("--set", f"model.runtime={runtime}", "--set", "run.steps=1"),
            ],
            capture_output=True,
            text=True,
            env={**os.environ, "ZOTUI_HOME": str(tmp_path), "PYTHONPATH": path},
            timeout=240,
        )

    asked = run("vllm", "asked")
    assert asked.returncode == 2
    assert "pip install" in asked.stderr
    assert "model.runtime=training-loop" in asked.stderr
    auto = run("auto", "auto")
    assert auto.returncode == 0
    assert "vLLM is not installed: the slower training-loop runtime is used" in auto.stdout


@needs_vllm
def test_a_vllm_that_is_built_for_another_device_is_not_taken() -> None:
    prepare_device("cpu")
    name, why = choose_runtime("auto", "cuda:0")
    assert name == "training-loop" and "is built for cpu, not cuda" in why
    with pytest.raises(UserError, match="is built for cpu, not cuda"):
        choose_runtime("vllm", "cuda:0")
