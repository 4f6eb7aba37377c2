"""Steering from the cockpit: other settings, a fork, and prompts that are tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.widgets import Input

from engine.protocol.events import Changed
from engine.runs.directory import all_runs
from engine.runs.info import Origin
from tests.zotui.app.app_helpers import Launch, cockpit, heard, screen_text, until, until_shown
from zotui.app.app import ZotuiApp
from zotui.app.cockpit.changing import change_of, fork_of
from zotui.app.cockpit.try_it import TryIt
from zotui.app.kit.ask_fields import Fields
from zotui.app.state.feed import EngineFeed

SIZE = (120, 40)


def fill(screen: Any, name: str, text: str) -> None:
    next(field for field in screen.query(Input) if field.name == name).value = text


async def test_a_change_is_checked_while_it_is_typed_told_to_the_engine_and_confirmed(launch: Launch) -> None:
    engine = launch(hold_at=40)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done == 40, "step 40")
        await pilot.press("l")
        await until_shown(pilot, "nothing is changed yet", "1e-06")
        fill(app.screen, "lr", "-3")
        await until_shown(pilot, "lr: a number above 0")
        await pilot.press("enter")
        assert isinstance(app.screen, Fields), "what is wrong is not taken"
        fill(app.screen, "lr", "5e-7")
        fill(app.screen, "eval every", "20")
        await until_shown(pilot, "changed: lr, eval every")
        await pilot.press("enter")
        await until_shown(pilot, "from step 40 on  lr 1e-06 → 5e-07  eval every", "lozo  lr 5e-07  eps 0.001")
        assert heard(engine.run.path).count("Change") == 1
        (record,) = engine.run.changes()
        assert (record.step, record.lr, record.eval_every) == (40, 5e-7, 20)
        await pilot.press("l")
        await until_shown(pilot, "5e-07")  # what is in force now
        await pilot.press("escape")
        assert heard(engine.run.path).count("Change") == 1


def test_what_was_not_touched_is_left_out_of_a_change_and_of_a_fork() -> None:
    change = change_of({"eps": "0.5"})
    assert (change.lr, change.eps, change.eval_every) == (None, 0.5, None)
    assert fork_of({"steps": "900"}, 30) == (30, ["run.steps=900"])


async def test_a_prompt_and_an_example_are_answered_while_the_run_goes_on(launch: Launch) -> None:
    engine = launch(steps=1_000_000)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done > 5, "steps")
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, TryIt), "the pane")
        await pilot.press(*"It was ", "enter")
        await until_shown(pilot, "a joy from start to end", "base  the the the")
        await pilot.press("down", *"bad|good", "enter")
        await until_shown(pilot, "87.5%", "50.0%", "now", "base model")
        await pilot.press("ctrl+e")
        await until_shown(pilot, "held-out review 0", "right")
        await pilot.press("ctrl+e")
        await until_shown(pilot, "held-out review 1")
        before = cockpit(pilot).run.done
        await until(pilot, lambda: cockpit(pilot).run.done > before + 5, "more steps")
        await pilot.press("escape")
        assert heard(engine.run.path).count("Try") == 4
        await until(pilot, lambda: app.screen is cockpit(pilot), "the cockpit")


async def test_a_fork_goes_on_in_a_run_of_its_own(launch: Launch, script: Callable[..., None]) -> None:
    engine = launch(steps=60)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.outcome, "the end")
        script(steps=200, hold_at=80)
        await pilot.press("f")
        await until_shown(pilot, "A new run begins", "after step", "give more")
        fill(app.screen, "after step", "99")
        await until_shown(pilot, "can be forked after 1 to 60 steps")
        fill(app.screen, "after step", "30")
        fill(app.screen, "more", "method.rank=4")
        await until_shown(pilot, "method.rank: the steps before the fork")
        fill(app.screen, "more", "run.eval_every=10")
        fill(app.screen, "lr", "1e-5")
        await pilot.press("enter")
        await until(pilot, lambda: cockpit(pilot).feed.run.path != engine.run.path, "the fork")
        await until(pilot, lambda: cockpit(pilot).run.done == 80, "its steps")
        forked = cockpit(pilot).feed.run
        assert forked.info.read().forked_from == Origin(run=str(engine.run.path), name=engine.run.name, step=30)
        assert forked.preset().method.lr == 1e-5 and forked.preset().run.eval_every == 10
        assert engine.run.steps_done() == 60 and len(all_runs()) == 2
        assert cockpit(pilot).run.losses.x[0] == 0, "with the steps that it took over"


async def test_a_fork_begins_where_its_dialog_said_whatever_is_saved_meanwhile(
    launch: Launch, script: Callable[..., None]
) -> None:
    engine = launch(steps=60)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.outcome, "the end")
        (engine.run.checkpoints / "step-00000020").mkdir(parents=True)
        script(steps=200, hold_at=80)
        await pilot.press("f")
        await until_shown(pilot, "checkpoint: 20")
        (engine.run.checkpoints / "step-00000040").mkdir()
        fill(app.screen, "steps", "200")
        await pilot.press("enter")
        await until(pilot, lambda: cockpit(pilot).feed.run.path != engine.run.path, "the fork")
        assert cockpit(pilot).feed.run.info.read().forked_from.step == 20


async def test_what_has_ended_is_not_steered(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(steps=5)))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.outcome, "the end")
        await pilot.press("l")
        await pilot.pause()
        assert app.screen is cockpit(pilot)


async def test_changes_of_another_app_are_told_here_too(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=3)))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done == 3, "step 3")
        cockpit(pilot).run.apply(Changed(step=3, lr=2e-6, eps=1e-3, eval_every=0))
        await until_shown(pilot, "lr 2e-06  eps 0.001")
        assert "change" in screen_text(app)
