"""The card of what is exported: what it tells is on record, and the lines that load it load it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import structs

from engine.preset.load import load as load_preset
from engine.protocol.findings import Evaluated
from engine.runs.directory import RunDir
from engine.runs.journal import encode_line
from engine.runs.proportion import proportion_interval
from tests.engine.conftest import Finished, Runner
from tests.engine.export.test_export import export


@pytest.fixture
def run(tiny_run: Runner, tmp_path: Path) -> Finished:
    """Of seed 0, beside that of seed 1."""
    runs = tmp_path / "runs"
    settings = ("method.lr=1e-2", "run.steps=20", "run.eval_every=5")
    run, _ = (tiny_run(*settings, f"run.seed={seed}", folder=runs / f"reviews-{seed}") for seed in (0, 1))
    tiny_run("run.steps=3", folder=runs / "another")
    assert run.code == 0, run.stderr
    return run


def card_of(run: Finished, target: Path, *options: str) -> str:
    done = export(run, target, *options)
    assert done.returncode == 0, done.stderr
    return (target / "README.md").read_text()


def rows(card: str, section: str) -> list[list[str]]:
    """Cells of the tables of a section, their heads left out."""
    text = re.split(r"^## ", card, flags=re.M)
    (body,) = [part for part in text if part.startswith(section)]
    lines = [line.strip("|").split("|") for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines]


def test_the_card_tells_what_is_on_record(run: Finished, tmp_path: Path, tiny_models: dict[str, Path]) -> None:
    from huggingface_hub import ModelCard

    card = card_of(run, tmp_path / "tuned")
    assert str(tmp_path) not in card and str(tiny_models["one-layer"]) not in card  # nobody else's paths
    told = ModelCard(card).data.to_dict()
    assert (told["library_name"], told["pipeline_tag"]) == ("transformers", "text-generation")
    evaluations = RunDir(run.folder).evaluations()
    head, _, before, after, *others = rows(card, "Results")
    assert (head[3:], before[0]) == (["accuracy", "loss"], "0 steps (the base model)")
    assert after[:3] == ["20 steps", "validation", "48"]
    for row, evaluation in ((before, evaluations[0]), (after, evaluations[-1])):
        accuracy = evaluation.metrics["accuracy"]
        low, high = proportion_interval(accuracy, 48)
        assert row[3:] == [f"{accuracy:.3f} [{low:.3f}, {high:.3f}]", f"{evaluation.metrics['loss']:.4f}"]
    seeds = [row[0] for row in others]
    assert seeds == ["seed", "---", "0", "1", "mean"]
    other = RunDir(run.folder.with_name("reviews-1")).evaluations()[-1].metrics["loss"]
    assert [row[2] for row in others[2:4]] == [f"{evaluations[-1].metrics['loss']:.4f}", f"{other:.4f}"]
    curve = rows(card, "Curve")[2:]
    assert [row[0] for row in curve] == ["0", "5", "10", "15", "20"]
    steps = list(RunDir(run.folder).journal())
    assert curve[2][1] == f"{sum(step.loss for step in steps[5:10]) / 5:.4f}"
    on = RunDir(run.folder).info.read().started_on
    assert on is not None and on.data is not None and on.model is not None
    for mark in (on.data["train"].sha256, on.data["validation"].sha256, on.model["model.safetensors"].sha256):
        assert f"`{mark}`" in card
    for name, version in RunDir(run.folder).info.read().versions.items():
        assert f"{name} {version}" in card
    preset = re.search(r"```toml\n(.*?)```", card, flags=re.S)
    assert preset and load_preset("card", preset[1]).method.lr == 1e-2


def test_what_was_changed_on_the_way_is_told(run: Finished, tmp_path: Path) -> None:
    changes = RunDir(run.folder).changes_file
    changes.write_bytes(encode_line({"step": 8, "lr": 5e-3, "eps": 1e-3, "eval_every": 5}))
    card = card_of(run, tmp_path / "tuned")
    assert "From step 8 on: lr 0.005, eps 0.001." in card
    assert "From step 8" not in card_of(run, tmp_path / "earlier", "--step", "8")


def test_what_was_measured_since_is_told(run: Finished, tmp_path: Path) -> None:
    record = RunDir(run.folder).evals_file
    found = Evaluated(
        step=20, split="test", metrics={"loss": 0.25, "accuracy": 0.75}, intervals={"accuracy": (0.5, 0.875)},
        examples=16, task="sst2", source="test.jsonl", shots=0, model="m", runtime="vllm", device="cpu",
        dtype="float32", versions={}, when=1.0, seconds=1.0,
    )  # fmt: skip
    others = [structs.replace(found, step=step) for step in (0, 10)]
    lines = map(encode_line, [structs.replace(found, metrics={"loss": 9.0}), found, *others])
    record.write_bytes(b"".join(lines))
    told = [row for row in rows(card_of(run, tmp_path / "tuned"), "Results") if row[1] == "sst2"]
    figures = "accuracy 0.750 [0.500, 0.875], loss 0.2500"
    assert told == [[f"{step} steps", "sst2", "test", "0", "16", figures] for step in (0, 20)]


def test_an_earlier_state_has_its_own_results_and_the_curve_up_to_it(run: Finished, tmp_path: Path) -> None:
    card = card_of(run, tmp_path / "tuned", "--step", "10")
    assert "10 of 20 steps" in card
    assert [row[0] for row in rows(card, "Curve")[2:]] == ["0", "5", "10"]
    assert rows(card, "Results")[3][0] == "10 steps"
    card = card_of(run, tmp_path / "between", "--step", "7")
    assert "The state after 7 steps was not evaluated by the run." in card
    assert [row[0] for row in rows(card, "Curve")[2:]] == ["0", "5"]


@pytest.mark.parametrize("format", ["merged", "adapter"])
def test_the_lines_that_load_it_load_it(
    run: Finished, tmp_path: Path, tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    pytest.importorskip("peft", reason="needs peft: pip install -e '.[test]'")
    card = card_of(run, tmp_path / "tuned", "--format", format)
    shutil.copytree(tiny_models["one-layer"], tmp_path / "one-layer", copy_function=shutil.copyfile)
    code = re.search(r"```python\n(.*?)```", card, flags=re.S)
    assert code
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(code[1], found)
    ids = found["tokenizer"]("a film", return_tensors="pt").input_ids
    assert torch.isfinite(found["model"](input_ids=ids).logits).all()
    assert ("rank 4 of the 4 that was learned" in card) == (format == "adapter")
    assert f"vllm serve {'one-layer --enable-lora' if format == 'adapter' else 'tuned'}" in card
