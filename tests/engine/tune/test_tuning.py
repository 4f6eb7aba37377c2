"""Trials begin at the model's own weights, bit for bit, and go on as if they never stopped; the best is proposed."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RunFailed, UserError
from engine.methods.catalogue import METHODS
from engine.preflight.open import Opened, open_run
from engine.preset.load import load
from engine.protocol import findings
from engine.protocol.events import Step
from engine.tune import session
from engine.tune.__main__ import tune
from engine.tune.search import Search, Setting, best_of
from engine.tune.trials import Course, Trial, held, kept_base, not_as_in_a_run
from tests import starting
from tests.engine.conftest import Runner, needs_vllm

Open = Callable[..., Opened]

BOTH = ["training-loop", pytest.param("vllm", marks=needs_vllm)]


def silent(*_: object) -> None:
    pass


def weights(opened: Opened, file: Path) -> bytes:
    opened.runtime.save_weights(file)
    return file.read_bytes()


@pytest.mark.parametrize("runtime", BOTH)
def test_every_trial_begins_at_the_models_own_weights_and_goes_on_where_it_was(
    tiny_run: Runner, tmp_path: Path, runtime: str
) -> None:
    wanted = load(
        "tiny", tiny_run.preset.read_text(),
        [f"model.runtime={runtime}", "method.interval=3", "method.shards=2", "method.lr=1e-2"],
    )  # fmt: skip
    opened = open_run(wanted, silent, silent)
    base_bytes = weights(opened, tmp_path / "base")
    with kept_base(opened.runtime, tmp_path / "kept") as base:
        course = Course(opened.runtime, opened.task, wanted, base, opened.task.validation[:8])
        before = course.evaluate()
        through, halted = Trial(1, wanted.method), Trial(2, wanted.method)
        course.advance(through, 8, silent)
        moved = weights(opened, tmp_path / "moved")
        course.advance(halted, 4, silent)
        course.advance(Trial(3, wanted.method.model_copy(update={"lr": 1.0})), 5, silent)
        course.advance(halted, 8, silent)
        assert weights(opened, tmp_path / "again") == moved != base_bytes
        assert [step.losses_plus for step in halted.steps] == [step.losses_plus for step in through.steps]
        assert halted.metrics == through.metrics and halted.losses == through.losses
        base.restore()
        assert weights(opened, tmp_path / "restored") == base_bytes
        assert course.evaluate() == before
    opened.runtime.close()
    assert not (tmp_path / "kept").exists()


def test_a_trial_clips_as_the_run_would(tiny_run: Runner, tmp_path: Path, start: Any) -> None:
    """Through a halt, and step for step as an engine that trains the same preset."""
    settings = ("model.runtime=training-loop", "run.steps=30", "run.batch_size=4", "method.lr=1e-2", "method.clip=0.5")
    engine = start(*settings)
    assert engine.finish() == 0
    steps = list(engine.run.journal())
    assert any(step.clipped_at for step in steps)
    wanted = engine.run.preset()
    opened = open_run(wanted, silent, silent)
    with kept_base(opened.runtime, tmp_path / "kept") as base:
        course = Course(opened.runtime, opened.task, wanted, base, opened.task.validation[:8])
        trial = Trial(1, held(wanted.method, wanted.method.lr, wanted.method.eps))
        course.advance(trial, 24, silent)
        course.advance(trial, 30, silent)
    opened.runtime.close()
    assert [step.clipped_at for step in trial.steps] == [step.clipped_at for step in steps]
    assert [step.loss for step in trial.steps] == [step.loss for step in steps]


def test_what_a_trial_leaves_out_is_said(tiny_run: Runner) -> None:
    settings = ["method.schedule=cosine", "method.warm_up=0.1", "method.ratchet=true", "run.eval_every=2"]
    method = load("tiny", tiny_run.preset.read_text(), settings).method
    assert not_as_in_a_run(method) == (
        "trials hold the learning rate still, at the height of the schedule: "
        "without schedule = 'cosine', warm_up = 0.1, ratchet"
    )
    assert not not_as_in_a_run(held(method, 1e-3, 1e-3)) and held(method, 1e-3, 1e-3).lr == 1e-3


SHORT = ["task.too_long=truncate", "model.max_length=16"]
SMALL = {
    "mezo-factorized": ["method.rank=4"],
    "fzoo": ["method.queries=3"],
    "grzo": ["method.shards=4"],
    "fast": ["method.shards=2", "method.queries=2", "method.ratchet=false"],
    "zo-muon": ["method.rank=4", "method.queries=2"],
    "subzero": ["method.rank=4"],
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_tuned(tiny_run: Runner, home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(session, "_MOST_SETS", 4)  # few probes: it is not the figures that are tested here
    monkeypatch.setattr(session, "_BATCHES", 2)
    preset = tiny_run.preset.read_text().replace("lr = 1e-4", f'name = "{name}"')
    wanted = load("tiny", preset, [*SHORT, *SMALL.get(name, [])])
    found: list[Any] = []
    # Weights at random may have nothing to learn in eight steps.
    with suppress(RunFailed):
        tune(wanted, found.append, steps=8, examples=8)
    (guess,) = [one for one in found if isinstance(one, findings.Guess)]
    trials = [one for one in found if isinstance(one, findings.Trial)]
    assert guess.lr is not None and guess.lr > 0 and guess.eps > 0
    assert (trials[0].lr, trials[0].eps, trials[0].steps) == (wanted.method.lr, wanted.method.eps, 2)
    assert len({trial.lr for trial in trials}) > 3
    ended = [trial for trial in trials if trial.steps == 8]
    assert ended and all(trial.validation and trial.loss for trial in ended)
    if isinstance(found[-1], findings.Proposal):
        assert trials[-1].standing == "chosen"
        assert (trials[-1].lr, trials[-1].validation) == (found[-1].lr, found[-1].validation)
        assert found[-1].validation < found[-1].before
    assert not list((home / "cache").glob("tune-*")) and not (home / "runs").exists()


class Simulated:
    """In the place of a course: what a rate comes to is known, and how many steps were taken is counted."""

    def __init__(self, loss: Callable[[float, int], float]) -> None:
        self._loss, self.taken = loss, 0

    def advance(self, trial: Trial, steps: int, told: Callable[[int], None]) -> None:
        loss = self._loss(trial.method.lr, steps)
        self.taken += steps - len(trial.steps)
        trial.steps += [Step(step=step, loss=loss) for step in range(len(trial.steps), steps)]
        if loss > 2:
            trial.diverged = "its loss has grown"
        trial.metrics, trial.losses = {"loss": loss}, [loss] * 4


def searched(
    loss: Callable[[float, int], float], own: float, guess: float | None, share: float = 0.1
) -> tuple[Trial, Search, Simulated]:
    method = load("m", '[model]\npath="m"\n[task]\nname="sst2"').method
    course = Simulated(loss)
    base = Trial(0, method)
    base.metrics, base.losses = {"loss": 1.0}, [1.0] * 4
    search = Search(course, method, 1, base, 40, silent)  # type: ignore[arg-type]
    ended = search.run(Setting(own, 1e-3), guess, [1e-3])
    return best_of(ended, 1.0, share), search, course


def bowl(best: float) -> Callable[[float, int], float]:
    """The loss after so many steps: it falls with the rate up to the best one, and rises steeply beyond."""
    return lambda lr, steps: 1 - 0.4 * steps / 40 * min(lr / best, 1) + max(0.0, lr / best - 1) ** 2


@pytest.mark.parametrize("guess", [1e-3, 4e-3, 3e-4])
@pytest.mark.parametrize("own", [1e-5, 8e-4, 1.0])
def test_a_best_rate_is_found_from_guesses_that_are_off(guess: float, own: float) -> None:
    best, search, course = searched(bowl(1e-3), own, guess)
    assert 0.6e-3 < best.method.lr < 1.5e-3
    assert course.taken < 12 * 40 and len(search.trials) < 14


def test_a_climb_that_begins_in_chaos_comes_down() -> None:
    def chaotic(lr: float, steps: int) -> float:
        return bowl(1e-3)(lr, steps) if lr < 2e-3 else 1.1 - 0.05 * random.Random(lr).random()

    best, search, _ = searched(chaotic, 1e-5, 0.5)
    assert 0.4e-3 < best.method.lr < 1.5e-3 and len(search.trials) < 14


def test_the_hopeless_are_given_up_early() -> None:
    _, search, _ = searched(bowl(1e-3), 1.0, 1e-3)
    assert search.trials[0].diverged and len(search.trials[0].steps) == 10
    assert sum(len(trial.steps) == 40 for trial in search.trials) <= 4 < len(search.trials)


def test_where_few_steps_favour_a_large_rate_the_smaller_one_wins_at_the_end() -> None:
    def late(lr: float, steps: int) -> float:
        return bowl(2e-3 if steps < 40 else 5e-4)(lr, steps)

    assert 2e-4 < searched(late, 1e-5, 1e-3)[0].method.lr < 8e-4


def test_a_smaller_rate_is_proposed_only_where_a_run_is_longer_than_its_trials() -> None:
    def flat(lr: float, steps: int) -> float:
        return bowl(1e-3)(lr, steps) if lr >= 1e-3 else 1 - 0.38 * steps / 40 * min(lr / 4e-4, 1)

    long, whole = (searched(flat, 1e-5, 1e-3, share)[0].method.lr for share in (0.1, 1.0))
    assert long < 0.8e-3 < whole


def test_where_all_diverge_that_is_said() -> None:
    with pytest.raises(RunFailed, match=r"all \d+ trials diverged; set method.lr"):
        searched(lambda lr, steps: 9.0, 1e-3, None)


def test_what_a_run_would_refuse_is_refused_and_leaves_nothing(tiny_run: Runner, home: Path) -> None:
    wanted = load("tiny", tiny_run.preset.read_text(), ["task.label=nope"])
    with pytest.raises(UserError, match=r"task\.label: no column 'nope'"):
        tune(wanted, silent, steps=8, examples=8)
    assert not list((home / "cache").glob("tune-*"))


def test_the_command_says_all_in_lines_and_removes_what_a_killed_one_left(tiny_run: Runner, home: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = home / "cache" / f"tune-{gone.pid}"
    left.mkdir(parents=True)
    arguments = ["-P", "-m", "engine.tune", "--steps", "12", "--examples", "16", "-"]
    text = load("tiny", tiny_run.preset.read_text(), ["run.steps=60", *SHORT]).to_toml()
    done = starting.run(arguments, given=json.dumps(text) + "\n", env={**os.environ, "ZOTUI_HOME": str(home)})
    found = [findings.decode(line.encode()) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and isinstance(found[-1], findings.Proposal)
    rates = {one.number: one.lr for one in found if isinstance(one, findings.Trial)}
    stages = {one.detail for one in found if isinstance(one, findings.Phase) and one.name == "trial"}
    assert {stage.partition(":")[0] for stage in stages} == {f"{number}, lr {lr:g}" for number, lr in rates.items()}
    assert not left.exists()
