"""The ratchet at work: it returns, and neither a kill, a fork nor an export makes another run of it."""

from __future__ import annotations

import json
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.control.ratchet import return_before
from engine.export.merged import export_merged
from engine.protocol.commands import Change, Evaluate, Pause, Resume, Save
from engine.protocol.events import Changed, Log, Returned, State, Step
from engine.runs.best import best_evaluation, least_loss
from engine.runs.changes import Changes
from engine.runs.directory import RunDir, step_of
from engine.runs.fork import fork
from engine.runs.journal import encode_line
from engine.runs.lineage import returns_of
from tests.engine.conftest import needs_vllm
from tests.engine.states import saved, weights_of
from tests.engine.training.test_determinism import trajectory
from tests.live_engine import Engine

STEPS, EVERY, LR = 64, 4, 0.02
SETTINGS = (
    f"run.steps={STEPS}",
    "run.batch_size=2",
    f"run.eval_every={EVERY}",
    "method.ratchet=true",
    "method.interval=6",
    "method.clip=0.7",
    f"method.lr={LR}",
    "task.validation_examples=8",
)
"""So high a rate that evaluations get worse, and better at times."""

RUNTIMES = [
    pytest.param(("model.runtime=training-loop", "method.schedule=cosine"), id="training-loop"),
    pytest.param(
        ("model.runtime=vllm", "method.name=lozo-m", "method.carry=project", "method.queries=2"),
        id="vllm",
        marks=needs_vllm,
    ),
]
BFLOAT16 = pytest.param(
    ("model.runtime=vllm", "model.dtype=bfloat16", "method.lr=0.005"),
    id="vllm-bfloat16",
    marks=needs_vllm,
)


def weights(run: RunDir) -> dict[str, torch.Tensor]:
    return load_file(saved(run.path, STEPS))


def same(one: RunDir, other: RunDir) -> bool:
    ours, theirs = weights(one), weights(other)
    return (
        trajectory(one) == trajectory(other)
        and ours.keys() == theirs.keys()
        and all(torch.equal(ours[name], theirs[name]) for name in ours)
    )


def names(run: RunDir) -> list[int]:
    return list(map(step_of, run.checkpoint_folders()))


def losses(run: RunDir) -> list[tuple[int, float]]:
    return [(one.step, one.metrics["loss"]) for one in run.evaluations()]


def pause_between_evaluations(engine: Engine) -> None:
    engine.send(Pause())
    while engine.until(State, state="paused").step % EVERY == 0:
        engine.send(Resume())
        engine.until(Step)
        engine.send(Pause())


def finish(run: RunDir) -> Engine:
    engine = Engine(run, resume=True)
    assert engine.finish() == 0, run.log_tail()
    return engine


def cut(run: RunDir, steps: int, folder: Path, *, evaluations: bool) -> RunDir:
    """A copy of a run whose journal ends there; with `evaluations` also those, as when it was killed right there."""
    copy = RunDir(Path(shutil.copytree(run.path, folder)))
    lines = copy.journal_file.read_bytes().splitlines(keepends=True)
    copy.journal_file.write_bytes(b"".join(lines[:steps]))
    if evaluations:
        kept = [one for one in copy.evaluations() if one.step <= steps]
        copy.evaluations_file.write_bytes(b"".join(map(encode_line, kept)))
    copy.info.update(state="running")
    return copy


@pytest.mark.parametrize("settings", RUNTIMES)
def test_a_run_that_returns_is_the_same_through_kills_and_forks(
    start: Any, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    engine = start(*SETTINGS, *settings, "run.keep_checkpoints=1")
    run = engine.run
    chance = random.Random(settings[0])
    assert engine.finish() == 0
    steps, evaluations, lr = list(run.journal()), run.evaluations(), run.preset().method.lr
    returns = returns_of(steps)

    # Each is decided by the evaluations, told, and halves the rate.
    assert len(returns) >= 2 and max(returns.values()) > 0
    assert returns == {n: to for n in range(STEPS) if (to := return_before(evaluations, n)) is not None}
    assert [(told.step, told.to) for told in engine.of(Returned)] == list(returns.items())
    assert [told.lr for told in engine.of(Returned)] == [steps[step].lr for step in returns]
    assert sum("half the learning rate" in told.text for told in engine.of(Log)) == len(returns)
    if "method.schedule=cosine" not in settings:
        assert [one.lr for one in steps] == [lr / 2 ** sum(at <= one.step for at in returns) for one in steps]
    assert any(one.clipped_at for one in steps), (returns, losses(run))
    # The best is there, also when all that comes later is worse.
    best, least = best_evaluation(evaluations), least_loss(evaluations, STEPS)
    assert best is not None and least is not None
    assert {step_of(folder) for folder in run.checkpoint_folders()} == {STEPS, best.step or STEPS, least.step}

    # What is asked for in between, and kills, change nothing.
    disturbed = start(*SETTINGS, *settings, "run.keep_checkpoints=99")
    for kill in sorted(chance.sample(range(3, STEPS - 8), 2)):
        disturbed.until(Step, step=kill)
        pause_between_evaluations(disturbed)
        for request in (Save(), Evaluate(), Resume()):
            disturbed.send(request)
        disturbed.until(Step)
        disturbed.process.send_signal(signal.SIGKILL)
        disturbed.finish()
        disturbed = Engine(disturbed.run, resume=True)
    assert disturbed.finish() == 0
    assert same(disturbed.run, run)
    assert any(one.due is False for one in disturbed.run.evaluations())

    # Killed between an evaluation and the step that returns; a power cut that took steps, and left what came later.
    last = max(at for at, to in returns.items() if to)
    killed = cut(disturbed.run, last, tmp_path / "killed", evaluations=True)
    assert finish(killed).of(Returned)[0].step == last
    assert same(killed, run)
    left = chance.randrange(last + 1, STEPS)
    torn = cut(disturbed.run, left, tmp_path / "torn", evaluations=False)
    least = least_loss(evaluations, left)
    assert least is not None
    shutil.rmtree(torn.checkpoint_at(least.step) or "")  # it is rebuilt and written again
    finish(torn)
    assert same(torn, run) and torn.checkpoint_at(least.step), (left, losses(run), names(torn))

    # A fork after a return goes on as the run did, at the rate that was in force.
    forked = fork(disturbed.run, last + 1, path=tmp_path / "forked")
    assert forked.preset().method.lr == lr / 2 ** len([at for at in returns if at <= last])
    assert step_of(forked.checkpoint_folders()[-1]) <= last + 1
    finish(forked)
    assert same(forked, run)


@pytest.mark.parametrize("settings", [*RUNTIMES, BFLOAT16])
def test_an_export_is_of_the_steps_that_led_there(start: Any, tmp_path: Path, settings: tuple[str, ...]) -> None:
    """As the weights lie in a checkpoint right after a fold, which is where the last interval began."""
    engine = start(*SETTINGS, *settings)
    assert engine.finish() == 0
    run = engine.run
    since = json.loads((run.checkpoints / f"step-{STEPS:08d}" / "manifest.json").read_text())["replay_from"]
    returns = returns_of(run.journal())
    assert any(at < since for at in returns)
    exported = run if since == STEPS else fork(run, returns.get(since, since), path=tmp_path / "there")
    export_merged(exported, tmp_path / "tuned", run.info.read().dtype)
    tuned = load_file(tmp_path / "tuned" / "model.safetensors")
    found = {
        name: tensor
        for name, tensor in weights_of(run.path, STEPS).items()
        if not name.startswith("update.") and not name.endswith(".residual")
    }
    assert found and all(torch.equal(tuned[name], tensor) for name, tensor in found.items())


def test_a_change_sets_the_rate_that_later_returns_halve(start: Any) -> None:
    engine = start(*SETTINGS, "run.steps=200")
    engine.until(Returned)
    first = engine.seen[-1].step
    engine.send(Pause())
    done = engine.until(State, state="paused").step
    engine.send(Change(eps=2e-3))
    in_force = engine.until(Changed).lr
    returned = [at for at in returns_of(engine.run.journal()) if at < done]
    assert first in returned and in_force == LR / 2 ** len(returned)
    engine.send(Change(lr=0.5))
    assert engine.until(Changed) == Changed(step=done, lr=0.5, eps=2e-3, eval_every=EVERY, lr_set=True)
    engine.send(Resume())
    engine.until(Returned)
    engine.process.send_signal(signal.SIGKILL)
    engine.finish()
    resumed = Engine(engine.run, resume=True)
    resumed.until(Step)
    resumed.process.kill()
    resumed.finish()
    steps = list(engine.run.journal())
    returns = returns_of(steps)
    assert [one.lr for one in steps[:done]] == [LR / 2 ** sum(at <= one.step for at in returns) for one in steps[:done]]
    later = [0.5 / 2 ** sum(done < at <= one.step for at in returns) for one in steps[done:]]
    assert [one.lr for one in steps[done:]] == later and later[-1] < 0.5


@pytest.mark.parametrize(
    ("changes", "stands"),
    [
        ([Change(lr=0.004)], True),
        ([Change(eps=2e-3)], False),
        ([Change(lr=0.004), Change(eps=2e-3)], True),
    ],
    ids=["rate", "eps", "rate-then-eps"],
)
def test_a_rate_that_is_set_while_a_return_is_due_stands(
    start: Any, tmp_path: Path, changes: list[Change], stands: bool
) -> None:
    """Only later returns halve it, through a kill as well; a change of something else takes no halving away."""
    engine = start(*SETTINGS, "model.runtime=training-loop")
    assert engine.finish() == 0
    due, to = next((at, to) for at, to in returns_of(engine.run.journal()).items() if to)
    before = engine.run.preset().method.lr / 2 ** sum(at < due for at in returns_of(engine.run.journal()))
    run = cut(engine.run, due, tmp_path / "cut", evaluations=True)
    held = Engine(run, resume=True)
    held.hold()
    for change in changes:
        held.send(change)
        held.until(Changed)
    held.send(Resume())
    told = held.until(Returned)
    rate = 0.004 if stands else before / 2
    assert (told.step, told.to, told.lr) == (due, to, rate)
    assert ("learning rate that was set" in held.of(Log)[-1].text) == stands
    held.until(Step, step=due + 2)
    held.process.send_signal(signal.SIGKILL)
    held.finish()
    finish(run)
    steps = list(run.journal())
    assert len(steps) == STEPS
    later = [at for at in returns_of(steps) if at > due]
    assert [one.lr for one in steps[due:]] == [rate / 2 ** sum(at <= one.step for at in later) for one in steps[due:]]
    assert later or min(one.lr for one in steps[due:]) == rate


def test_a_rate_of_an_older_record_is_halved_by_the_return_that_was_due(start: Any, tmp_path: Path) -> None:
    engine = start(*SETTINGS, "model.runtime=training-loop", "run.steps=5")
    assert engine.finish() == 0
    engine.run.changes_file.write_bytes(encode_line({"step": 2, "lr": 0.5, "eps": 1e-3, "eval_every": 4}))
    changes = Changes(engine.run, engine.run.preset())
    assert [changes.at(step, [2]).lr for step in (1, 2, 3)] == [LR, 0.25, 0.25]


@pytest.mark.parametrize("every", [0, STEPS, STEPS + 1])
def test_a_ratchet_is_not_silenced_while_it_is_at_work(start: Any, every: int) -> None:
    engine = start(*SETTINGS, "model.runtime=training-loop")
    engine.hold()
    engine.send(Change(lr=0.5, eval_every=every))
    assert engine.reach(
        lambda event: isinstance(event, Changed) or (isinstance(event, Log) and event.level == "warning")
    )
    refused = engine.seen[-1]
    assert isinstance(refused, Log) and refused.text == (
        "method.ratchet: goes back on a worse evaluation, of which there is none between the first and the last; "
        f"set run.eval_every to less than run.steps ({STEPS}); nothing is changed"
    )
    engine.send(Change(eval_every=8))
    assert engine.until(Changed) == Changed(step=0, lr=LR, eps=1e-3, eval_every=8)
    engine.send(Resume())
    assert engine.finish() == 0
    assert [one.step for one in engine.run.evaluations()] == list(range(0, STEPS + 1, 8))
