"""Early stopping: a run ends where its validation loss has not become better for long, and stays ended."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.preset.load import load
from engine.protocol.events import Done, Eval, Log
from engine.runs.best import only_harm, waited
from engine.runs.directory import RunDir
from engine.runs.fork import fork
from engine.runs.journal import encode_line
from tests import starting
from tests.live_engine import Engine

HARMFUL = (
    "run.steps=40", "run.batch_size=2", "run.eval_every=2", "run.patience=3", "method.lr=0.3", "method.interval=6",
    "task.validation_examples=8",
)  # fmt: skip
"""So high a rate that nothing gets better for long."""


def evaluations(*losses: float, asked: tuple[int, ...] = ()) -> list[Eval]:
    return [Eval(step=10 * n, metrics={"loss": one}, due=n not in asked) for n, one in enumerate(losses)]


@pytest.mark.parametrize(
    ("taken", "since", "count"),
    [
        ([], 0, 0),
        (evaluations(0.5), 0, 0),
        (evaluations(0.5, 0.6, 0.7), 0, 2),  # that before training is the best
        (evaluations(0.5, 0.4, 0.7, 0.4), 0, 2),  # an equal one is not better
        (evaluations(0.5, 0.6, 0.4), 0, 0),
        (evaluations(0.5, 0.6, 0.7, 0.8, asked=(2,)), 0, 2),  # what was asked for is not counted
        (evaluations(0.5, 0.6, 0.7, 0.8), 20, 1),  # a fork begins anew
    ],
)
def test_what_is_counted(taken: list[Eval], since: int, count: int) -> None:
    assert waited(taken, since) == count


def test_it_stops_says_so_and_does_so_again_after_a_kill(start: Any, tmp_path: Path) -> None:
    engine = start(*HARMFUL)
    run = engine.run
    assert engine.finish() == 0
    steps = run.steps_done()
    assert 6 <= steps < 40 and steps % 2 == 0
    taken = run.evaluations()
    assert [waited(taken[: n + 1]) < 3 for n in range(len(taken))] == [True] * (len(taken) - 1) + [False]
    (done,) = engine.of(Done)
    assert (done.outcome, done.steps) == ("finished", steps)
    assert re.match(rf"stopped early after {steps} of 40 steps: 3 evaluations without a better validation", done.reason)
    assert done.reason in [said.text for said in engine.of(Log)]
    assert (run.summary().standing, run.summary().early) == ("finished", done.reason)
    shown = starting.run(["-m", "zotui", "show", str(run.path)]).stdout
    assert f"finished: {done.reason}" in shown
    assert ("the run only did harm" in shown) == only_harm(taken)
    again = starting.run(["-m", "zotui", "resume", str(run.path), "--json"])
    assert again.returncode == 0 and done.reason in again.stdout and "run.patience=0" in again.stderr

    # Killed right after its last evaluation, it takes no step more; before it, the same ones.
    for cut in (0, 1):
        copy = RunDir(Path(shutil.copytree(run.path, tmp_path / f"cut-{cut}")))
        copy.info.update(state="running", early="")
        lines = copy.journal_file.read_bytes().splitlines(keepends=True)
        copy.journal_file.write_bytes(b"".join(lines[: steps - cut]))
        kept = [one for one in taken if one.step <= steps - cut]
        copy.evaluations_file.write_bytes(b"".join(map(encode_line, kept)))
        shutil.rmtree(copy.checkpoints)
        resumed = Engine(copy, resume=True)
        assert resumed.finish() == 0, copy.log_tail()
        assert (copy.steps_done(), copy.summary().early) == (steps, done.reason)

    # A fork has patience of its own.
    forked = fork(run, steps, ["run.patience=1"], tmp_path / "forked")
    assert Engine(forked, resume=True).finish() == 0, forked.log_tail()
    assert forked.steps_done() > steps


def test_without_evaluations_in_between_it_is_refused() -> None:
    text = '[model]\npath = "m"\n[task]\nname = "sst2"\n[run]\npatience = 2\n'
    with pytest.raises(UserError, match=r"run\.patience: .*set run\.eval_every to less than run\.steps"):
        load("p", text)
    assert load("p", text, ["run.patience=0"]).run.patience == 0
