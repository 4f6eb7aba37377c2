"""`python -m engine.benchmark.on_gpu`, rehearsed on a CPU: every part for real, at its smallest."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from msgspec import structs

from engine.benchmark.on_gpu import draws, runs, steps
from engine.benchmark.on_gpu.parts import parts
from engine.benchmark.on_gpu.results import Result, Skipped, read
from engine.benchmark.on_gpu.settings import Settings, demo_preset
from engine.benchmark.on_gpu.work import work
from engine.preset.load import load_file
from engine.protocol.events import Eval, Step
from engine.runs.directory import RunDir
from engine.runs.journal import append
from engine.tasks.demo import VALIDATION_EXAMPLES
from tests import forked, starting
from tests.engine.conftest import needs_vllm
from tests.faults.workshop import wait_for

SETTINGS = Settings(device="cpu", card="a CPU", small=True)
EVERY = {part.name: part for part in parts(SETTINGS)}


@pytest.fixture(autouse=True)
def _at_home(made_demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOTUI_HOME", str(made_demo))
    monkeypatch.setattr(sys, "executable", forked.stand_in())


def arguments(folder: Path, *options: str) -> list[str]:
    return ["-P", "-m", "engine.benchmark.on_gpu", "--to", str(folder), "--device=cpu", "--small", *options]


def on_gpu(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return starting.run(arguments(folder, *options))


def outcomes(done: subprocess.CompletedProcess[str]) -> list[tuple[str, str]]:
    """(outcome, part) of every line."""
    return [(line.split()[0], line.split()[1].rstrip(":")) for line in done.stdout.splitlines()]


@needs_vllm
def test_every_part_passes_and_what_a_killed_one_had_done_is_not_done_again(tmp_path: Path) -> None:
    folder = tmp_path / "found"
    with (tmp_path / "errors").open("wb") as errors:
        first = starting.start(arguments(folder), stderr=errors)
        assert first.stdout
        line = first.stdout.readline().decode()
        assert line.startswith("passed    start: vllm on cpu"), (folder / "start.log").read_text()
        first.kill()  # in its second part
        assert first.wait(240) < 0
    assert [path.stem for path in folder.glob("*.json")] != []
    began = (folder / "start.json").stat().st_mtime_ns
    done = on_gpu(folder)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert outcomes(done) == [("passed", name) for name in EVERY]
    assert [line.split(": ")[1] == "before" for line in done.stdout.splitlines()] == [True] + [False] * (len(EVERY) - 1)
    assert (folder / "start.json").stat().st_mtime_ns == began
    _check_figures({name: read(folder, name) for name in EVERY})
    table = (folder / "table.md").read_text()
    assert "zotui" in table and "| a run killed and resumed | passed |" in table and "not done" not in table
    assert "| demo, batch 2 | float32 |" in table and "libraries 1.00 |" in table


def _check_figures(found: dict[str, Result | None]) -> None:
    """Each part did what it says."""
    figures = {name: result.figures for name, result in found.items() if result}
    seen = figures["start"]["seen"]
    assert seen["packed"] and any("packed scoring agrees" in note for note in seen["notes"])
    assert {finding["name"] for finding in figures["start"]["doctor"]} > {"python", "torch", "vllm"}
    assert figures["graphs"]["probed"] == 3 and figures["graphs"]["different"] == 0
    for dtype in ("float32", "float16"):
        assert len(figures[f"parity-{dtype}"]["rows"]) == 6
    (bench,) = figures["steps-demo-2"]["benches"]
    assert bench["loop"] and bench["vllm"] and bench["floor"] and bench["fold_s"] > 0
    assert figures["memory-demo-2"]["taken"]["total"] > 2**28
    assert figures["draws"]["numbers"] > 1_000
    assert figures["determinism"]["steps"] == figures["resume"]["steps"] == 24
    assert figures["determinism"]["weights"] == figures["resume"]["weights"] != {}
    assert figures["demo"]["steps"] == 24 and {"accuracy", "loss"} <= figures["demo"]["after"].keys()


@needs_vllm
def test_a_part_that_failed_is_said_kept_and_done_again_when_asked(
    tmp_path: Path, tiny_models: dict[str, Path]
) -> None:
    folder, model = tmp_path / "found", tmp_path / "model"
    shutil.copytree(tiny_models["one-layer"], model)
    (model / "model.safetensors").rename(tmp_path / "aside")
    options = ("--model", str(model), "--parts", "draws,determinism")
    why = f"unbroken: the engine ended with 2: model.path: {model}: no weights in this folder"
    for when in ("", "before: "):  # without --again it is not tried again
        done = on_gpu(folder, *options)
        assert done.returncode == 1
        assert outcomes(done) == [("passed", "draws"), ("failed", "determinism")]
        assert f"failed    determinism: {when}{why}" in done.stdout
    assert f"- `determinism`: {why}" in (folder / "table.md").read_text()
    (tmp_path / "aside").rename(model / "model.safetensors")
    done = on_gpu(folder, *options, "--again")
    assert (done.returncode, outcomes(done)) == (0, [("passed", "draws"), ("passed", "determinism")])
    assert "Failed" not in (folder / "table.md").read_text()


def test_what_would_begin_after_the_minutes_is_left_out_and_said(tmp_path: Path) -> None:
    done = on_gpu(tmp_path, "--parts", "draws,steps", "--minutes", "1e-9")
    assert done.returncode == 0
    assert outcomes(done)[:2] == [("left", "out"), ("left", "out")]
    assert "2 left out; the same command again goes on with them" in done.stdout
    assert list(tmp_path.glob("*.json")) == [tmp_path / "settings.json"]
    assert "| directions of the device against those of the CPU | not done |" in (tmp_path / "table.md").read_text()


def test_what_cannot_be_begun_is_refused_in_one_line(tmp_path: Path) -> None:
    whole = ["-P", "-m", "engine.benchmark.on_gpu", "--to", str(tmp_path / "found")]
    small = [*whole, "--device=cpu", "--small"]
    for given, reason in (
        ([*whole, "--device=cpu"], "--device cpu: would take hours at these sizes; add --small"),
        ([*whole, "--device=gpu"], "--device gpu: not a device"),
        (
            [*small, "--parts=draws,dreams"],
            "--parts dreams: no such part; there are start, draws, graphs, parity-float32,",
        ),
        ([*small, "--minutes=0"], "--minutes 0: give more than 0"),
        ([*small, f"--model={tmp_path}"], f"--model {tmp_path}: not a model's folder"),
    ):
        done = starting.run(given)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr
        assert reason in done.stderr
    assert not (tmp_path / "found").exists()


def test_a_folder_of_other_settings_is_refused(tmp_path: Path, tiny_models: dict[str, Path]) -> None:
    assert on_gpu(tmp_path, "--parts", "draws").returncode == 0
    done = on_gpu(tmp_path, "--parts", "draws", "--model", str(tiny_models["opt"]))
    assert done.returncode == 2
    assert "holds results of other settings (a CPU, cpu, builtin:demo, small); choose another folder" in done.stderr


@needs_vllm
def test_a_part_that_takes_too_long_is_cut_off(tmp_path: Path) -> None:
    result = work(replace(EVERY["determinism"], most_seconds=1.0), SETTINGS, tmp_path)
    assert result.outcome == "failed"
    assert result.text.startswith("cut off after 1 s; determinism.log")


@needs_vllm
@pytest.mark.fresh
def test_a_part_ends_with_all_that_it_started_when_whoever_started_it_is_gone(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "engine.benchmark.on_gpu.part", "determinism"]
    command += [msgspec.json.encode(SETTINGS).decode(), str(tmp_path)]
    run = RunDir(tmp_path / "runs/unbroken")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        wait_for("a run at work", run.is_live)
        assert process.stdin
        process.stdin.close()
        assert process.wait(240) == -signal.SIGKILL
    wait_for("the end of the run's engine", lambda: not run.is_live())
    assert run.info.read().state != "stopped"  # it was not left to come to that itself


def test_the_demo_is_that_of_its_preset() -> None:
    ours = demo_preset(structs.replace(SETTINGS, small=False))
    theirs = load_file(Path(__file__).parents[3] / "presets/demo.toml")
    kept = ("keep_checkpoints", "checkpoint_best", "when_app_leaves")  # which change nothing of what is learned
    run = theirs.run.model_copy(update={name: getattr(ours.run, name) for name in kept})
    assert (ours.method, ours.run, ours.model.dtype) == (theirs.method, run, theirs.model.dtype)
    assert (ours.task.name, ours.task.validation_examples) == (theirs.task.name, VALIDATION_EXAMPLES)


def test_what_does_not_fit_is_skipped_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "steps-opt-66b-2.log").touch()
    with pytest.raises(Skipped, match=r"needs about .* GiB of memory on cpu"):
        steps.time(SETTINGS, tmp_path, of="opt-66b", size=2)


def test_draws_that_differ_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def otherwise(turn: Iterator[int], *given: Any) -> tuple[torch.Tensor, torch.Tensor]:
        u, v = real(*given)
        u[0, 0] += next(turn) * 1e-6  # each on its second drawing
        return u, v

    real, turns = draws.drawn, iter([0, 1] * 9)
    monkeypatch.setattr(draws, "drawn", lambda *given: otherwise(turns, *given))
    found = draws.compare(SETTINGS, tmp_path)
    assert (found.outcome, found.figures["different"]) == ("failed", 9)
    assert "9 differ, by up to" in found.text


def test_the_first_difference_of_two_runs_is_named(tmp_path: Path) -> None:
    def made(
        name: str, *, gradient: float = 0.1, seconds: float = 1.0, loss: float = 0.5, weights: bytes = b"w"
    ) -> RunDir:
        run = RunDir.create(runs.preset(SETTINGS), "any", tmp_path / name)
        for number in range(3):
            step = Step(
                step=number, loss=1.0, loss_plus=1.0, loss_minus=1.0, projected_grad=gradient * number, lr=0.1, eps=0.1,
                seconds=seconds, update_kept=seconds,
            )  # fmt: skip
            append(run.journal_file, step)
        append(run.evaluations_file, Eval(step=3, metrics={"loss": loss}, seconds=seconds))
        (run.checkpoints / "step-00000003").mkdir(parents=True)
        (run.checkpoints / "step-00000003/weights.safetensors").write_bytes(weights)
        return run

    one = made("one")
    for name, changed, passed_over, told in (
        ("same", {}, (), ""),
        ("slower", {"seconds": 2.0}, ("seconds", "update_kept"), ""),
        ("kept", {"seconds": 2.0}, ("seconds",), "step 0 has update_kept 1.0 and 2.0"),
        ("steps", {"gradient": 0.2}, (), "step 1 has projected_grad 0.1 and 0.2"),
        ("evaluated", {"loss": 0.25}, (), "evaluations [(3, 'validation', {'loss': 0.5})]"),
        ("weights", {"weights": b"v"}, (), "the weights of their last checkpoints differ"),
    ):
        found = runs._difference(one, made(name, **changed), passed_over)
        assert found.startswith(told) and bool(found) == bool(told), name
