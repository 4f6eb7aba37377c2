"""A bench to accuracy with real engines: what it leaves are runs like any other."""

from __future__ import annotations

import json
import os

from engine.preset.load import load
from engine.runs.directory import RunDir
from tests import starting
from tests.engine.conftest import Runner


def test_methods_by_seeds_leave_runs_that_are_listed_and_go_on(tiny_run: Runner) -> None:
    preset = tiny_run.preset.with_name("real.toml")
    preset.write_text(load("tiny", tiny_run.preset.read_text(), ["run.eval_every=2", "method.lr=1e-3"]).to_toml())
    env = {**os.environ, "ZOTUI_HOME": str(tiny_run.home)}
    command = ["-m", "zotui", "bench", "--to-accuracy", "--preset", str(preset), "--mark-steps", "4", "--json"]
    command += ["--method", "lozo run.eval_every=1", "--mark-method", "lozo", "--seeds", "2"]
    done = starting.run(command, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    mark, other, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["standing"] for one in (mark, other)] == ["end", "reached"]
    assert summary["mark"]["loss"] == mark["cost"]["loss"] >= other["cost"]["loss"]
    run = RunDir.find(other["run"])
    assert run.path.parent == tiny_run.home / "runs" and run.summary().standing in ("stopped", "finished")
    at = other["cost"]["steps"]
    assert other["cost"]["tokens"] == sum(step.tokens for step in run.journal() if step.step < at)
    whole, spent = other["cost"]["whole"], run.info.read().time
    assert whole >= spent["start_up"] + sum(step.seconds for step in run.journal() if step.step < at)
    listed = starting.run(["-m", "zotui", "list", "--json"], env=env)
    assert {json.loads(line)["path"] for line in listed.stdout.splitlines()} == {mark["run"], other["run"]}
