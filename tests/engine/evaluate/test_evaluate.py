"""`zotui eval` finds what the run found, at any of its steps, and moves nothing of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine.runs.directory import RunDir
from engine.runs.proportion import proportion_interval
from tests import starting
from tests.engine.conftest import Finished, Runner, needs_vllm

LIVELY = ("method.lr=1e-2", "run.steps=14", "run.eval_every=7", "method.interval=5")


def evaluated(runner: Runner, what: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return starting.run(
        ["-m", "zotui", "eval", str(what), *options], env={**os.environ, "ZOTUI_HOME": str(runner.home)}
    )


def found(runner: Runner, what: Path, *options: str) -> dict[str, Any]:
    done = evaluated(runner, what, *options, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    return json.loads(line)


def records(run: Finished) -> dict[str, bytes]:
    """All files of a run but the evaluations that came later."""
    every = (path for path in run.folder.rglob("*") if path.is_file() and path.name != "evals.jsonl")
    return {str(path): path.read_bytes() for path in every}


@pytest.mark.parametrize("runtime", ["training-loop", pytest.param("vllm", marks=needs_vllm)])
def test_a_state_is_measured_as_the_run_measured_it(tiny_run: Runner, reviews: Path, runtime: str) -> None:
    run = tiny_run(*LIVELY, f"model.runtime={runtime}")
    assert run.code == 0, run.stderr
    taken = {one.step: one.metrics for one in RunDir(run.folder).evaluations()}
    assert len({metrics["loss"] for metrics in taken.values()}) == 3
    before = records(run)
    for step, done in (("base", 0), ("7", 7)):  # 7 lies within an interval
        one = found(tiny_run, run.folder, "--step", step)
        assert (one["type"], one["step"], one["split"], one["runtime"]) == ("eval", done, "validation", runtime)
        assert one["metrics"]["loss"] == pytest.approx(taken[done]["loss"], abs=1e-5)
        assert one["metrics"]["accuracy"] == taken[done]["accuracy"]
        assert one["intervals"]["accuracy"] == list(proportion_interval(taken[done]["accuracy"], one["examples"]))
    # A split that no run reads, a prompt of another kind: of these the run has no record to be compared with.
    said = evaluated(tiny_run, run.folder, "--split", "test", "--set", f"task.test={reviews}", "--shots", "1")
    assert said.returncode == 0, said.stderr
    assert said.stderr == ""  # nobody watches
    assert f"sst2, test, 1 shot: 48 examples of {reviews}" in said.stdout and "accuracy  0." in said.stdout
    assert records(run) == before
    kept = RunDir(run.folder).evals()
    assert [(one.step, one.split, one.shots) for one in kept] == [
        (0, "validation", 0), (7, "validation", 0), (14, "test", 1),
    ]  # fmt: skip
    assert kept[0].versions["torch"]
    shown = starting.run(["-m", "zotui", "show", str(run.folder)])
    assert "by `zotui eval`:" in shown.stdout and "14    sst2, 1 shot  test" in shown.stdout


def test_a_model_is_measured_as_it_is(tiny_run: Runner, tiny_models: dict[str, Path], reviews: Path) -> None:
    run = tiny_run("run.steps=1")
    data = ("--set", f"task.train={reviews}", "--set", f"task.validation={reviews.with_name('held-out.jsonl')}")
    own = ("--task", "sst2", *data, "--set", "model.runtime=training-loop", "--set", "model.device=cpu")
    one = found(tiny_run, tiny_models["one-layer"], *own)
    first = RunDir(run.folder).evaluations()[0].metrics
    assert (one["step"], one["run"], one["metrics"]["accuracy"]) == (0, "", first["accuracy"])
    assert one["metrics"]["loss"] == pytest.approx(first["loss"], abs=1e-5)


def test_what_cannot_be_evaluated_is_refused_in_a_line(tiny_run: Runner) -> None:
    run = tiny_run("run.steps=1")
    for options, said in (
        (("--split", "test"), "--split test: this task has no test split; give one with --set task.test=FILE"),
        (("--step", "2"), f"--step 2: {run.folder.name} has taken 1 steps; use 0 to 1, base, best or last"),
        (("--set", "task.template={sentense}"), "did you mean 'sentence'?"),
    ):
        done = evaluated(tiny_run, run.folder, *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr and len(done.stderr.splitlines()) == 1
    live = RunDir(run.folder)
    live.acquire()
    done = evaluated(tiny_run, run.folder)
    assert done.returncode == 2 and "is live" in done.stderr
    assert not live.evals()
