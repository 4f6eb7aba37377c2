"""Any state of a run is exported: after some steps, the best or the last, as a model and as an adapter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from msgspec import structs
from safetensors.torch import load_file

from engine.export.adapter import export_adapter, rank_of
from engine.export.which import Chosen
from engine.runs.best import best_evaluation
from engine.runs.directory import RunDir
from engine.runs.journal import encode_line
from tests.engine.conftest import Finished, Runner
from tests.engine.export.test_adapter import by_peft, scored
from tests.engine.export.test_export import export, loss_of


@pytest.fixture
def run(tiny_run: Runner) -> Finished:
    run = tiny_run("method.lr=1e-2", "run.steps=30", "run.eval_every=12", "method.interval=5")
    assert run.code == 0, run.stderr
    return run


@pytest.mark.parametrize("step", ["12", "24", "best", "last"])
def test_each_is_as_it_was_evaluated(run: Finished, tiny_models: dict[str, Path], tmp_path: Path, step: str) -> None:
    evaluations = RunDir(run.folder).evaluations()
    best = best_evaluation(evaluations)
    assert best is not None
    done = {"best": best.step, "last": 30}.get(step) or int(step)
    wanted = next(one.metrics["loss"] for one in evaluations if one.step == done)
    assert len({one.metrics["loss"] for one in evaluations}) == 4
    options = ("--format", "adapter", "--step", step)
    said = export(run, tmp_path / "adapter", *options)
    assert said.returncode == 0, said.stderr
    assert f"the adapter after {done} steps is in {tmp_path}/adapter" in said.stderr
    assert scored(run, by_peft(tiny_models["one-layer"], tmp_path / "adapter")) == pytest.approx(wanted, abs=1e-5)
    said = export(run, tmp_path / "merged", "--step", step, "--dtype", "float32")
    assert said.returncode == 0, said.stderr
    assert loss_of(run, tmp_path / "merged") == pytest.approx(wanted, abs=1e-5)


def test_a_state_that_is_not_there_is_refused(run: Finished, tmp_path: Path) -> None:
    for format, step in [("merged", "0"), ("adapter", "31"), ("merged", "first"), ("adapter", "-1"), ("merged", "1.0")]:
        done = export(run, tmp_path / "out", "--format", format, "--step", step)
        said = f"zotui: --step {step}: {run.folder.name} has taken 30 steps; use 1 to 30, best or last\n"
        assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_the_best_of_a_run_without_an_evaluation_is_refused(run: Finished, tmp_path: Path) -> None:
    record = RunDir(run.folder).evaluations_file
    record.write_bytes(record.read_bytes().splitlines(keepends=True)[0])  # that of the base model
    done = export(run, tmp_path / "out", "--step", "best")
    assert done.returncode == 2
    assert done.stderr.startswith("zotui: --step best: ") and "--step last" in done.stderr


def test_a_step_within_an_interval_is_that_of_the_run_which_stopped_there(
    run: Finished, tiny_run: Runner, tmp_path: Path
) -> None:
    short = tiny_run("method.lr=1e-2", "run.steps=13", "method.interval=5")
    for name, one, more in (("long", run, ("--step", "13")), ("short", short, ())):
        assert export(one, tmp_path / name, *more).returncode == 0
    long, other = (load_file(tmp_path / name / "model.safetensors") for name in ("long", "short"))
    assert all(torch.equal(long[name], other[name]) for name in other)


def test_the_way_after_a_return_has_the_intervals_that_led_there(tiny_run: Runner, tmp_path: Path) -> None:
    """Of the steps 0 to 4, 15 to 29: those at 0, 15 and 20."""
    run = RunDir(tiny_run("method.lr=1e-3", "run.steps=30", "method.interval=10").folder)
    steps = list(run.journal())
    steps[15] = structs.replace(steps[15], returned_to=5)
    run.journal_file.write_bytes(b"".join(map(encode_line, steps)))
    assert list(Chosen(run).way) == [*range(5), *range(15, 30)]
    assert rank_of(Chosen(run)) == 6
    assert rank_of(Chosen(run, "21")) == 6 and rank_of(Chosen(run, "15")) == 4
    assert export_adapter(run, tmp_path / "adapter") == 30
    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    assert config["r"] == 6
