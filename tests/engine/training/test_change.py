"""Changes while a run is at work: on record, exact on resume, and the same as a fork that has them."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.protocol.commands import Change, Stop
from engine.protocol.events import Changed, Hello, Step
from engine.runs.changes import Changes, changed_preset
from engine.runs.directory import RunDir
from engine.runs.fork import fork
from engine.runs.info import Origin
from tests.engine.conftest import Runner, needs_vllm
from tests.engine.states import saved
from tests.engine.training.test_determinism import trajectory
from tests.live_engine import Engine

STEPS = 40


def weights(run: RunDir) -> bytes:
    return saved(run.path, STEPS).read_bytes()


@pytest.mark.parametrize("runtime", ["training-loop", pytest.param("vllm", marks=needs_vllm)])
def test_a_change_counts_from_the_next_step_on_through_a_kill_and_as_in_a_fork(
    start: Any, tmp_path: Path, runtime: str
) -> None:
    settings = (f"model.runtime={runtime}", f"run.steps={STEPS}", "run.batch_size=4", "run.checkpoint_every=5")
    engine = start(*settings)
    engine.hold()
    done = engine.advance(3)
    assert 0 < done < 5
    engine.send(Change(lr=3e-4, eps=2e-3))
    assert engine.until(Changed) == Changed(step=done, lr=3e-4, eps=2e-3, eval_every=0, lr_set=True)
    engine.send(Change(eval_every=4))
    assert engine.until(Changed) == Changed(step=done, lr=3e-4, eps=2e-3, eval_every=4, lr_set=True)
    while engine.advance(2) == done:  # held before it, for the evaluation that is due saves the best
        pass
    engine.process.send_signal(signal.SIGKILL)
    engine.finish()
    resumed = Engine(engine.run, resume=True)
    assert resumed.finish() == 0

    changed = trajectory(engine.run)
    assert [record["lr"] for record in changed] == [1e-4] * done + [3e-4] * (STEPS - done)
    assert [record["eps"] for record in changed] == [1e-3] * done + [2e-3] * (STEPS - done)
    due = {0, STEPS, *range(done + -done % 4, STEPS, 4)}
    assert {taken.step for taken in engine.run.evaluations()} == due

    plain = start(*settings)
    assert plain.finish() == 0
    assert trajectory(plain.run)[:done] == changed[:done] and trajectory(plain.run) != changed
    forked = fork(plain.run, done, ["method.lr=3e-4", "method.eps=2e-3"], tmp_path / "forked")
    assert Engine(forked, resume=True).finish() == 0
    assert trajectory(forked) == changed
    assert weights(forked) == weights(engine.run) != weights(plain.run)
    assert forked.info.read().forked_from == Origin(run=str(plain.run.path), name=plain.run.name, step=done)
    assert len(trajectory(plain.run)) == STEPS, "the run that was forked is as it was"


def test_a_change_outlives_the_steps_after_it(tmp_path: Path, tiny_run: Runner) -> None:
    wanted = load(tiny_run)
    run = RunDir.create(wanted, "tiny", tmp_path / "run")
    changes = Changes(run, wanted)
    first = changes.at(0)
    assert changed_preset(wanted, first) == wanted
    changed = changes.change(30, Change(lr=1.0))
    assert [Changes(run, wanted).at(step) for step in (0, 29, 30, 99)] == [first, first, changed, changed]
    earlier = changes.change(20, Change(eps=0.5))  # the steps from 20 on were lost: the later decision stands
    again = Changes(run, wanted)
    assert [again.at(step) for step in (0, 19, 20, 29, 30, 99)] == [first, first, *[earlier] * 4]
    assert earlier.lr == first.lr
    assert changed_preset(wanted, changed).method.lr == 1.0
    run.changes_file.write_bytes(run.changes_file.read_bytes().replace(b"30", b"31", 1))
    with pytest.raises(UserError, match="line 1 is damaged"):
        run.refuse_damaged()
    run.changes_file.unlink()
    changes.change(30, Change(lr=1.0))
    run.changes_file.write_bytes(run.changes_file.read_bytes().replace(b"30", b"31", 1))
    with pytest.raises(UserError, match="line 1 is damaged"):  # also the last line: it was confirmed
        run.refuse_damaged()


def load(tiny_run: Runner) -> Any:
    from engine.preset.load import load

    return load("tiny", tiny_run.preset.read_text(), [f"run.steps={STEPS}"])


def test_a_run_that_is_resumed_keeps_the_precision_that_auto_was(start: Any) -> None:
    """As if it had begun where `auto` is another one: on a GPU it is the model's own."""
    engine = start("model.runtime=training-loop", "model.dtype=auto", "run.steps=400", "run.batch_size=4")
    engine.until(Step, step=2)
    engine.send(Stop())
    assert engine.finish() == 130
    assert engine.run.info.read().dtype == "float32"
    engine.run.info.update(dtype="bfloat16")
    resumed = Engine(engine.run, resume=True)
    assert resumed.until(Hello).dtype == "bfloat16"
    resumed.send(Stop())
    resumed.finish()
