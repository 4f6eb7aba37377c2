"""The ratchet's decision, what is halved by it, and what a preset needs for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.control.ratchet import return_before
from engine.errors import UserError
from engine.preset.load import load
from engine.protocol.commands import Change
from engine.protocol.events import Eval
from engine.runs.best import least_loss
from engine.runs.changes import Changes
from engine.runs.directory import RunDir
from tests.engine.conftest import Runner


def evaluations(*losses: tuple[int, float], asked: tuple[int, ...] = ()) -> list[Eval]:
    return [
        Eval(step=step, metrics={"loss": loss}, **({"due": False} if step in asked else {})) for step, loss in losses
    ]


@pytest.mark.parametrize(
    ("losses", "step", "to"),
    [
        ([(0, 0.7)], 0, None),
        ([(0, 0.7), (10, 0.8)], 10, 0),  # the model as it came counts
        ([(0, 0.7), (10, 0.6)], 10, None),
        ([(0, 0.7), (10, 0.7)], 10, None),  # not worse
        ([(0, 0.7), (10, 0.6), (20, 0.65)], 20, 10),
        ([(0, 0.7), (10, 0.6), (20, 0.65)], 21, None),  # it went on from there
        ([(0, 0.7), (10, 0.6), (20, 0.65), (30, 0.61)], 30, 10),  # and again
        ([(0, 0.7), (10, 0.6), (20, 0.65), (30, 0.5), (40, 0.55)], 40, 30),
        ([(0, 0.7), (10, 0.6), (20, 0.6), (30, 0.65)], 30, 10),  # the first of equals
        ([(0, 0.7), (10, 0.6), (20, 0.65), (30, 0.5)], 20, 10),  # what comes later is of steps that were lost
        ([(0, 0.7), (20, 0.65), (10, 0.6), (20, 0.65)], 20, 10),  # ... and taken again
    ],
)
def test_it_goes_back_to_the_best_when_an_evaluation_is_worse(
    losses: list[tuple[int, float]], step: int, to: int | None
) -> None:
    assert return_before(evaluations(*losses), step) == to


def test_an_evaluation_that_was_asked_for_changes_nothing() -> None:
    taken = evaluations((0, 0.7), (10, 0.6), (13, 0.9), (17, 0.1), (20, 0.5), asked=(13, 17))
    assert [return_before(taken, step) for step in (13, 17, 20)] == [None] * 3
    best = least_loss(taken, 20)
    assert best is not None and best.step == 20
    other = [*evaluations((0, 0.7)), Eval(step=5, split="test", metrics={"loss": 0.9})]
    assert return_before(other, 5) is None


def test_a_return_halves_what_is_in_force_and_a_change_sets_it_anew(tmp_path: Path, tiny_run: Runner) -> None:
    wanted = load("tiny", tiny_run.preset.read_text(), ["method.lr=1", "run.steps=100"])
    run = RunDir.create(wanted, "tiny", tmp_path / "run")
    changes, returns = Changes(run, wanted), {10: 5, 20: 5, 40: 30}
    assert [changes.at(step, returns).lr for step in (0, 9, 10, 19, 20, 39, 40, 99)] == [
        1,
        1,
        *[0.5] * 2,
        *[0.25] * 2,
        *[0.125] * 2,
    ]
    eps = changes.change(25, Change(eps=0.5), [10, 20])  # of something else: the rate stays as it is in force
    assert (eps.lr, eps.eps) == (0.25, 0.5)
    assert changes.change(30, Change(lr=2.0), [10, 20]).lr == 2.0
    again = Changes(run, wanted)  # as a resumed run has it
    assert [again.at(step, returns).lr for step in (9, 20, 25, 29, 30, 39, 40, 99)] == [1, 0.25, 0.25, 0.25, 2, 2, 1, 1]
    # A rate that is set before the step that returns stands, and later returns halve it.
    later = {**returns, 50: 30}
    assert again.change(40, Change(lr=3.0), [10, 20]).lr == 3.0
    assert [again.at(step, later).lr for step in (39, 40, 49, 50)] == [2, 3, 3, 1.5]


def test_without_evaluations_there_is_nothing_to_go_back_on(tiny_run: Runner) -> None:
    text = tiny_run.preset.read_text()
    assert load("tiny", text, ["method.ratchet=true", "run.eval_every=5"]).method.ratchet
    with pytest.raises(UserError) as refused:
        load("tiny", text, ["method.ratchet=true"])
    assert str(refused.value) == (
        "tiny: method.ratchet: goes back on a worse evaluation, of which there is none between the first and the last; "
        "set run.eval_every to less than run.steps, or set method.ratchet = false"
    )
