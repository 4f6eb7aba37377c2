"""An exported model is the tuned model: transformers loads it and scores as the run ended."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from safetensors.torch import load_file as load_tensors

from engine.tasks import objective
from engine.tasks.load import load_task
from tests import starting
from tests.engine.conftest import Finished, Runner, needs_vllm


def export(run: Finished, target: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return starting.run(
        ["-m", "zotui", "export", str(run.folder), "--to", str(target), *(more or ("--format", "merged"))]
    )


@needs_vllm
@pytest.mark.parametrize(
    ("layout", "runtime"), [("opt", "vllm"), ("opt", "training-loop"), ("mixtral", "vllm"), ("qwen3-moe", "vllm")]
)
def test_the_exported_model_scores_as_the_run_ended(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path, layout: str, runtime: str
) -> None:
    from transformers import AutoTokenizer

    from engine.preset.load import load_file
    from engine.runtimes.training_loop import TrainingLoop

    run = tiny_run(f"model.path={tiny_models[layout]}", f"model.runtime={runtime}", "method.lr=1e-3", "run.steps=25")
    target = tmp_path / "tuned"
    done = export(run, target)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(target)
    wanted = load_file(run.folder / "preset.toml")
    tokenizer = AutoTokenizer.from_pretrained(target)
    task = load_task(wanted.task, tokenizer, seed=0, max_length=256, cache=tmp_path)
    model = TrainingLoop(str(target), dtype="float32", device="cpu", rank=2, seed=0)
    found = objective.metrics("classification", task.validation, model.score(task.validation))
    start, end = (run.of("eval")[i]["metrics"]["loss"] for i in (0, -1))
    assert abs(found["loss"] - end) < 1e-5
    assert abs(start - end) > 1e-4  # the run did move
    if layout != "opt":  # transformers stacks experts, and files have them apart
        before, after = (load_tensors(folder / "model.safetensors") for folder in (tiny_models[layout], target))
        assert before.keys() == after.keys()


def test_an_export_never_overwrites_and_the_adapter_format_is_not_offered(tiny_run: Runner, tmp_path: Path) -> None:
    run = tiny_run("run.steps=1")
    target = tmp_path / "full"
    target.mkdir()
    (target / "precious").write_text("text")
    done = export(run, target)
    assert done.returncode == 2
    assert "is not an empty folder" in done.stderr
    assert [p.name for p in target.iterdir()] == ["precious"]
    done = export(run, tmp_path / "adapter", "--format", "adapter")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) <= 8
