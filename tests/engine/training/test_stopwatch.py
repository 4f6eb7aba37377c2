"""Where a run's time goes: measured, of all its engines together, and what a killed one leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.preset.load import load
from engine.runs.directory import RunDir
from engine.runs.journal import encode_line
from engine.runs.timing import KINDS, time_spent
from engine.training.stopwatch import Stopwatch
from tests.engine.conftest import Runner


class Clock:
    """Moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    text = '[model]\npath = "m"\n[task]\nname = "sst2"\n'
    return RunDir.create(load("p", text), "p", tmp_path / "run")


def session(run: RunDir) -> tuple[Stopwatch, Clock]:
    clock = Clock()
    return Stopwatch(run, clock), clock


def test_every_second_goes_to_one_kind_and_resumed_engines_add_up(run: RunDir) -> None:
    for _ in range(2):
        watch, clock = session(run)
        clock.now += 5
        watch.started()
        with watch.during("evaluations") as lap:
            clock.now += 3
            with watch.during("paused"):
                clock.now += 10
        assert lap.seconds == 13
        with watch.during("checkpoints"):
            clock.now += 2
        clock.now += 1
        watch.save()
        assert watch.seconds() == 21
    run.journal_file.write_bytes(b"".join(encode_line({"step": n, "seconds": 0.5}) for n in range(6)))
    expected = {"start_up": 10, "steps": 3, "evaluations": 6, "checkpoints": 4, "paused": 20, "other": 2, "total": 45}
    assert time_spent(run) == expected


def test_what_came_to_nothing_is_other(run: RunDir) -> None:
    watch, clock = session(run)
    watch.started()
    with pytest.raises(ArithmeticError), watch.during("steps"):
        clock.now += 4
        raise ArithmeticError
    with pytest.raises(KeyboardInterrupt), watch.during("paused"):  # a stop is no failure of what it ends
        clock.now += 7
        raise KeyboardInterrupt
    watch.save()
    assert (time_spent(run)["other"], time_spent(run)["paused"], time_spent(run)["total"]) == (4, 7, 11)


def test_a_run_without_records_has_spent_nothing(run: RunDir) -> None:
    assert time_spent(run) == {**dict.fromkeys(KINDS, 0.0), "total": 0.0}


def test_a_run_tells_its_time_and_a_resumed_one_that_of_both_engines(tiny_run: Runner) -> None:
    done = tiny_run("run.steps=6", "run.eval_every=3", "run.checkpoint_every=3", "task.validation_examples=8")
    assert done.code == 0
    (said,) = done.of("done")
    told = said["time"]
    assert set(told) == {*KINDS, "total"}
    assert told["steps"] == pytest.approx(sum(step["seconds"] for step in done.of("step")), abs=1e-4)
    assert told["evaluations"] == pytest.approx(sum(e["seconds"] for e in done.of("eval")), abs=1e-4)
    assert told["checkpoints"] == pytest.approx(sum(c["seconds"] for c in done.of("checkpoint")), abs=1e-4)
    assert told["paused"] == 0 < told["start_up"]
    # Nothing is left out and nothing counted twice: the parts make up the engine's own wall-clock.
    assert told["total"] == pytest.approx(said["seconds"], abs=1e-3)
    # The engine was killed before its last step: what its steps took is in the journal.
    journal = done.folder / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:5]))
    run = RunDir(done.folder)
    for checkpoint in run.checkpoints.glob("step-00000006/*"):
        checkpoint.unlink()
    (run.checkpoints / "step-00000006").rmdir()
    run.info.update(state="running")
    left = time_spent(run)
    assert left["steps"] == pytest.approx(told["steps"] - json.loads(lines[5])["seconds"])
    again = tiny_run(folder=done.folder, command="resume")
    both: dict[str, Any] = again.of("done")[0]["time"]
    assert both["start_up"] > left["start_up"]
    assert both["steps"] == pytest.approx(left["steps"] + again.of("step")[0]["seconds"], abs=1e-4)
    assert both["total"] == pytest.approx(left["total"] + again.of("done")[0]["seconds"], abs=1e-3)
