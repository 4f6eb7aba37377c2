"""`zotui eval`: what is refused before an engine is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.preset.load import load
from engine.runs.directory import RunDir
from zotui.cli import app
from zotui.commands.eval import of_run

PRESET = '[model]\npath = "m"\n[task]\nname = "sst2"\ntrain = "t.csv"\n'


@pytest.fixture(autouse=True)
def _run(home: Path) -> None:
    RunDir.create(load("p", PRESET), "p", home / "runs" / "mine")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "nope: no such run, and no model's folder or hub id owner/name; `zotui list` shows the runs"),
        (["owner/name"], "owner/name: a model has no task of its own; add --task with one of sst2, rte, "),
        (["owner/name", "--step", "3"], "--step 3: is for a run; owner/name is a model, which is evaluated as it is"),
        (["mine", "--split", "train"], "--split train: not a split; use validation or test"),
        (["mine", "--task", "boolk"], "--task boolk: not a built-in task; did you mean 'boolq'?"),
        (["mine", "--set", "method.lr=1"], "--set method.lr: the run's own stays; an evaluation of a run can change"),
        (["mine", "--set", "task.lable=1"], "--set task.lable: unknown key; did you mean 'task.label'?"),
    ],
)
def test_it_is_one_line(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["eval", *arguments])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"zotui: {said}") and len(done.stderr.splitlines()) == 1


def test_another_task_brings_all_of_its_own_and_the_run_s_own_stays_as_it_is(home: Path) -> None:
    run = RunDir(home / "runs" / "mine")
    assert of_run(run, "rte", 2, ["task.test=x.csv"]).task.model_dump(exclude_none=True) == {
        "name": "rte", "shots": 2, "test": "x.csv", "bos": "auto",
    }  # fmt: skip
    assert of_run(run, "sst2", None, []) == of_run(run, None, None, []) == run.preset()
