"""Real runs for the engine's tests: tiny models, a small task, and the engine started as zotui does."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.runs.directory import RunDir
from tests import starting
from tests.live_engine import Engine

needs_vllm = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs vLLM: pip install -e '.[cpu]'")


@dataclass(frozen=True)
class Finished:
    """A headless run that has ended."""

    code: int
    events: list[dict[str, Any]]
    stderr: str
    folder: Path

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one type."""
        return [event for event in self.events if event["type"] == kind]


@dataclass
class Runner:
    """`zotui run --json` on a preset file, in a ZOTUI_HOME of its own."""

    home: Path
    preset: Path
    settings: list[str] = field(default_factory=list)

    def __call__(
        self, *settings: str, folder: Path | None = None, command: str = "run", options: Sequence[str] = ()
    ) -> Finished:
        folder = folder or self.home / f"run-{len(list(self.home.glob('run-*')))}"
        arguments = ["-m", "zotui", command]
        if command == "resume":
            arguments.append(str(folder))
        else:
            arguments += [*([str(self.preset)] if command == "run" else []), "--run-dir", str(folder)]
        for setting in (*self.settings, *settings):
            arguments += ["--set", setting]
        env = {**os.environ, "ZOTUI_HOME": str(self.home)}
        done = starting.run([*arguments, *options, "--json"], env=env)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return Finished(done.returncode, events, done.stderr, folder)


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Path:
    """48 real reviews, as a file, and 48 others beside it, as held-out.jsonl: short ones, a third of the tokens."""
    lines = (shared / "data/sst2/validation.jsonl").read_text().splitlines()
    lines = [line for line in lines if len(json.loads(line)["sentence"]) <= 50]
    path = tmp_path_factory.mktemp("data") / "reviews.jsonl"
    # Of these no token of the mixtures' lies so between two experts that rounding chooses.
    path.write_text("\n".join(lines[78:126]) + "\n")
    path.with_name("held-out.jsonl").write_text("\n".join(lines[:48]) + "\n")
    return path


@pytest.fixture(scope="session")
def tiny_models(once: Any, shared: Path) -> dict[str, Path]:
    """Random models of a few layers: OPT as shared and cut off after one, others made here, one tokenizer."""
    opt = shared / "models/tiny-opt"
    folder = once("models", lambda folder: _make_models(opt, folder))
    made = ("one-layer", "llama", "qwen2", "qwen3", "qwen3-moe", "mixtral")
    return {"opt": opt, **{name: folder / name for name in made}}


def _make_models(opt: Path, folder: Path) -> None:
    import torch
    from transformers import (
        AutoModelForCausalLM,
        LlamaConfig,
        MixtralConfig,
        Qwen2Config,
        Qwen3Config,
        Qwen3MoeConfig,
    )

    shape = {
        "vocab_size": 512,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 1,
    }
    configs = {
        "llama": LlamaConfig(**shape),
        "qwen2": Qwen2Config(**shape),
        "qwen3": Qwen3Config(**shape, head_dim=32, tie_word_embeddings=True),
        # Weights of a size that tells tokens apart: where a router hardly does, rounding chooses the expert.
        "qwen3-moe": Qwen3MoeConfig(
            **shape, head_dim=32, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=48,
            norm_topk_prob=True, initializer_range=0.05,
        ),
        "mixtral": MixtralConfig(
            **{**shape, "intermediate_size": 96}, num_local_experts=4, num_experts_per_tok=2, initializer_range=0.05
        ),
    }  # fmt: skip
    for name, config in configs.items():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder / name)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(opt / file, folder / name)
    _first_layer_alone(opt, folder / "one-layer")


def _first_layer_alone(model: Path, folder: Path) -> None:
    """The model cut off after its first block, for tests that are not of what a model computes."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, folder, copy_function=shutil.copyfile)
    about = json.loads((model / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**about, "num_hidden_layers": 1}))
    tensors = load_file(model / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if ".layers." not in name or ".layers.0." in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture
def tiny_run(tmp_path: Path, tiny_models: dict[str, Path], reviews: Path) -> Runner:
    """Runs of LoZO on one layer and 48 reviews; the training-loop runtime unless a test says otherwise."""
    preset = tmp_path / "tiny.toml"
    preset.write_text(
        f"""
        [model]
        path = "{tiny_models["one-layer"]}"
        dtype = "float32"
        device = "cpu"
        runtime = "training-loop"
        [task]
        name = "sst2"
        train = "{reviews}"
        validation = "{reviews.with_name("held-out.jsonl")}"
        [method]
        interval = 10
        lr = 1e-4
        [run]
        steps = 12
        batch_size = 4
        """
    )
    return Runner(tmp_path, preset)


@pytest.fixture
def start(tiny_run: Runner, tmp_path: Path) -> Callable[..., Engine]:
    """Starts engines on new runs of that preset, longer ones unless the test says otherwise."""
    numbers = itertools.count()

    def start(*settings: str, **options: Any) -> Engine:
        from engine.preset.load import load

        preset = load("tiny", tiny_run.preset.read_text(), ("run.steps=100000", "run.batch_size=2", *settings))
        return Engine(RunDir.create(preset, "tiny", tmp_path / f"run{next(numbers)}"), **options)

    return start


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes one file system in memory, of a size such as `64k`; the test is skipped where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size: str) -> Path:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, text=True
        )
        if mounted.returncode:
            pytest.skip(f"needs to mount a small file system: {mounted.stderr.strip()}")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", "-l", str(folder)], check=True)
