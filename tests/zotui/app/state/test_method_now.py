"""What the method works with at a step: rate, eps, the spread of its probes; and a change of it in words."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from engine.preset.load import load
from engine.protocol.events import Changed, Hello, Returned, Step
from engine.runs.directory import RunDir
from engine.runs.journal import encode_line
from tests.zotui.app.app_helpers import preset_text
from zotui.app.state.feed import Begun, RecordsFeed
from zotui.app.state.method_now import method_now
from zotui.app.state.run_state import RunState
from zotui.runs.steps import Steps
from zotui.text.changes import change

KEYS = ["method.name=fzoo", "method.lr=4e-4", "method.schedule=linear", "method.ratchet=true", "run.eval_every=10"]


def begun(*more: str) -> RunState:
    run = RunState("demo")
    run.apply(Begun("demo", load("demo", preset_text(steps=100), [*KEYS, *more]), 0))
    return run


def step(number: int, lr: float, **told: object) -> Step:
    return Step(step=number, loss_plus=0.6, loss_minus=0.5, projected_grad=1.0, lr=lr, eps=1e-3, **told)


def test_the_rate_is_that_of_the_step_and_before_any_that_of_the_first() -> None:
    run = begun("method.warm_up=0.1")
    assert method_now(run).lr == pytest.approx(4e-4 / 11)
    run.apply(step(0, 3e-5))
    assert method_now(run)[:3] == ("fzoo", 3e-5, 1e-3)


def test_a_change_shows_before_the_step_that_takes_it_as_its_schedule_has_it() -> None:
    run = begun()
    for number in range(50):
        run.apply(step(number, 4e-4 * (100 - number) / 100))
    run.apply(Changed(step=50, lr=8e-4, eps=2e-3, eval_every=10))
    now = method_now(run)
    assert now.lr == pytest.approx(4e-4) and now.eps == 2e-3
    run.apply(step(50, 3.9e-4))
    assert method_now(run).lr == 3.9e-4


def test_a_return_shows_with_the_rate_of_its_step() -> None:
    run = begun("method.schedule=constant")
    run.apply(step(0, 4e-4))
    run.apply(Returned(step=1, to=0, lr=2e-4))
    run.apply(step(1, 2e-4, returned_to=0))
    assert method_now(run).lr == 2e-4


def test_a_run_without_its_preset_shows_what_its_steps_tell() -> None:
    run = RunState("demo")
    run.apply(Hello(run="r", name="demo", preset="p", model="m", runtime="vllm", device="cpu", dtype="", steps=9))
    assert method_now(run).words() == ""
    run.apply(step(0, 4e-4, losses_plus=(0.5, 0.7), losses_minus=(0.5, 0.5)))
    assert method_now(run).words() == "lr 0.0004  eps 0.001  spread 0.141"


def test_the_records_of_a_finished_run_tell_the_same(tmp_path: Path) -> None:
    run = RunDir.create(load("demo", preset_text(steps=3), KEYS[:2]), "demo", tmp_path / "run")
    taken = [step(n, 4e-4, losses_plus=(0.5, 0.6, 0.7), losses_minus=(0.5,) * 3) for n in range(3)]
    run.journal_file.write_bytes(b"".join(map(encode_line, taken)))
    run.info.update(state="finished", steps=3)
    state = RunState("demo")
    feed = RecordsFeed(run)
    state.apply(feed._view())
    for item in feed._read():
        state.apply(item)
    assert method_now(state).words() == "fzoo  lr 0.0004  eps 0.001  spread 0.1"
    assert method_now(state).words(spread=False) == "fzoo  lr 0.0004  eps 0.001"


@pytest.mark.parametrize(
    ("plus", "minus", "spread"),
    [
        ((), (), math.nan),
        ((0.6,), (0.5,), math.nan),
        ((0.6, 0.7), (0.5,), math.nan),  # of an engine that speaks nonsense
        ((0.5, 0.7, 0.6), (0.4, 0.6, 0.5), 0.0),  # each the same distance apart
        ((0.5, 0.7), (0.5, 0.5), 0.2 / math.sqrt(2)),
        ((1e308, -1e308), (0.0, 0.0), math.inf),
    ],
)
def test_the_spread_is_the_standard_deviation_of_the_differences(
    plus: tuple[float, ...], minus: tuple[float, ...], spread: float
) -> None:
    (found,) = Steps.of([step(0, 1e-6, losses_plus=plus, losses_minus=minus)]).column("spread")
    assert found == pytest.approx(spread, abs=1e-12, nan_ok=True)


def test_a_change_says_from_what_to_what() -> None:
    before = Changed(step=0, lr=1e-6, eps=1e-3, eval_every=50)
    assert change(before, Changed(step=9, lr=5e-7, eps=1e-3, eval_every=0)) == "lr 1e-06 → 5e-07  eval every 50 → never"
    assert change(None, before) == change(before, before) == "lr 1e-06  eps 0.001  eval every 50"
