"""The cockpit on an engine that another process launched, over its real control socket."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from textual.app import App

from engine.protocol.events import Step
from engine.runs.directory import RunDir
from tests.zotui.app.app_helpers import Launch, cockpit, heard, preset_text, screen_text, status, until, until_shown
from zotui.app import run_app
from zotui.app.app import ZotuiApp
from zotui.app.cockpit.screen import Cockpit
from zotui.app.kit.dialogs import Question
from zotui.app.start.screen import Start
from zotui.app.state.feed import EngineFeed
from zotui.engines.attached import AttachedEngine
from zotui.engines.launched import EngineProcess


def at_step(launch: Launch, step: int, **keys: object) -> EngineProcess:
    """An engine that has taken so many steps and waits for a command; its pipe is read by nobody from there on."""
    engine = launch(hold_at=step, **keys)
    for event in engine.events():
        if isinstance(event, Step) and event.step == step - 1:
            break
    return engine


async def test_attaching_shows_the_whole_history_and_steers(launch: Launch) -> None:
    engine = at_step(launch, 60)
    app = ZotuiApp(EngineFeed(AttachedEngine(engine.run)))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "attached", "● running", "step 60/200", "0.602 → 0.612")
        run = cockpit(pilot).run
        await until(pilot, lambda: run.losses.x == list(range(60)), "the recorded steps")
        assert [taken.step for taken in run.evaluations] == [0, 50]
        await pilot.press("space")
        await until(pilot, lambda: status(pilot).startswith("● paused "))
        await pilot.press("e")
        await until_shown(pilot, "step 60  accuracy 0.614")
        await pilot.press("space")
        await until(pilot, lambda: run.state == "running")
        (engine.run.path / "go").touch()
        await until_shown(pilot, "● finished", "200 of 200")
        assert run.losses.x == list(range(200))
        assert heard(engine.run.path) == ["Pause", "Evaluate", "Resume"]
        await until(pilot, lambda: cockpit(pilot).exit_code is not None)
        await pilot.press("q")
    assert app.return_value == 0 and app.last_words() == []


async def test_two_apps_show_the_same_and_do_not_fight(launch: Launch) -> None:
    engine = at_step(launch, 40, steps=1_000_000)
    apps = [ZotuiApp(EngineFeed(AttachedEngine(engine.run))) for _ in range(2)]
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(app.run_test(size=(80, 24))) for app in apps]
        for pilot in (one, other):
            await until(pilot, lambda pilot=pilot: cockpit(pilot).run.state == "running")
        await one.press("space")
        for pilot in (one, other):
            await until(pilot, lambda pilot=pilot: status(pilot).startswith("● paused "))
        await other.press("space")
        for pilot in (one, other):
            await until(pilot, lambda pilot=pilot: status(pilot).startswith("● running"))
        await asyncio.gather(one.press("c"), other.press("c"))
        for pilot in (one, other):
            await until(pilot, lambda pilot=pilot: not cockpit(pilot).run.wants_checkpoint)
        await one.press("q")
        await until(one, lambda: isinstance(apps[0].screen, Question))
        await one.press("l")
        await until(one, lambda: apps[0].return_value == 0)
        await other.press("s")
        await until_shown(other, "● stopped")
        await until(other, lambda: cockpit(other).exit_code is not None)
        await other.press("q")
    assert heard(engine.run.path) == ["Pause", "Resume", "Save", "Save", "Stop"]
    assert apps[1].return_value == 130  # what its last word means, though this scripted one ends with 0


async def test_an_attached_engine_that_dies_is_shown_as_died_and_can_be_resumed(launch: Launch) -> None:
    engine = at_step(launch, 70, steps=120)
    app = ZotuiApp(EngineFeed(AttachedEngine(engine.run)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "step 70/120")
        os.kill(engine.pid, signal.SIGKILL)
        await until_shown(pilot, "the engine died at step 70", "without saying why", "engine log line 19", "r resume")
        (engine.run.path / "go").touch()
        await pilot.press("r")
        await until_shown(pilot, "● finished", "120 of 120")
        assert cockpit(pilot).run.losses.x == list(range(120))
        assert "attached" not in screen_text(app).splitlines()[0]
        await until(pilot, lambda: cockpit(pilot).exit_code == 0)


async def test_one_who_attaches_during_start_up_misses_nothing(launch: Launch, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    engine = launch(gate=str(gate), steps=60)
    next(engine.events())  # by then it can be attached to
    app = ZotuiApp(EngineFeed(AttachedEngine(engine.run)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.steps == 60)
        gate.touch()
        await until_shown(pilot, "● finished", "60 of 60")
        assert cockpit(pilot).run.losses.x == list(range(60))


async def test_an_app_that_was_held_up_takes_the_end_from_the_records(launch: Launch) -> None:
    engine = at_step(launch, 5, steps=30_000, delay=0, eval_every=10**6)
    attached = AttachedEngine(engine.run)  # nobody reads it: its buffers fill, and the engine ends without it
    (engine.run.path / "go").touch()
    await asyncio.to_thread(engine.wait)
    app = ZotuiApp(EngineFeed(attached))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "● finished", "30,000 of 30,000")
        await until(pilot, lambda: cockpit(pilot).exit_code == 0)


async def test_enter_on_a_live_run_attaches_and_leaving_it_comes_back(launch: Launch) -> None:
    engine = at_step(launch, 30)
    app = ZotuiApp()
    async with app.run_test(notifications=True, size=(120, 40)) as pilot:
        await until_shown(pilot, engine.run.name, "live")
        await pilot.press("tab", "r")
        await until_shown(pilot, "is live: enter attaches to it")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Cockpit))
        await until_shown(pilot, "attached", "step 30/200")
        await until(pilot, lambda: cockpit(pilot).run.losses.x == list(range(30)), "the recorded steps")
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("l")
        await until(pilot, lambda: isinstance(app.screen, Start))
        await pilot.press("enter")  # and again
        await until_shown(pilot, "attached", "step 30/200")
        await pilot.press("space")
        await until(pilot, lambda: status(pilot).startswith("● paused "))
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("l")
        await until(pilot, lambda: isinstance(app.screen, Start))
        await pilot.press("q")
    name = engine.run.name
    assert app.last_words() == [f"{name} goes on: zotui attach {name}, zotui stop {name}"]
    assert engine.alive() and heard(engine.run.path) == ["Pause"]


async def test_a_run_launched_here_and_left_can_be_attached_to_from_the_same_app(
    script: Callable[..., None], write_preset: Callable[[str, str], Path]
) -> None:
    write_preset("demo", preset_text(steps=5000))
    script(steps=5000)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "Reviews")
        await pilot.press("enter", "enter")
        await until(pilot, lambda: app.cockpit is not None and cockpit(pilot).run.done > 20)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("l")
        await until(pilot, lambda: isinstance(app.screen, Start))
        await until_shown(pilot, "live")
        await pilot.press("tab", "enter")
        await until(pilot, lambda: app.cockpit is not None and cockpit(pilot).run.done > 60)
        losses = cockpit(pilot).run.losses
        assert losses.x == list(range(len(losses.x)))
        await pilot.press("s")
        await until_shown(pilot, "● stopped")


async def test_without_an_answer_the_records_are_watched(launch: Launch) -> None:
    engine = at_step(launch, 50, steps=100)
    engine.run.control_file.unlink()
    app = ZotuiApp()
    async with app.run_test(notifications=True, size=(120, 40)) as pilot:
        await until_shown(pilot, engine.run.name, "live")
        await pilot.press("tab", "enter")
        await until_shown(pilot, "only its records can be watched", "read-only", "live elsewhere", "step 50/100")
        # Where a run stands is known before its records are read.
        await until(pilot, lambda: cockpit(pilot).run.losses.x == list(range(50)), "the recorded steps")


def test_an_app_that_crashes_says_that_the_run_goes_on(
    launch: Launch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(self: Cockpit, *, now: bool) -> None:
        if self.run.done >= 30:
            raise RuntimeError("a fault of the app")

    engine = launch(hold_at=30)
    monkeypatch.setattr(Cockpit, "_show", crash)
    monkeypatch.setattr(ZotuiApp, "run", lambda self: App.run(self, headless=True))
    assert run_app(engine) == 1
    name = engine.run.name
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"zotui: the app ended; {name} goes on: zotui attach {name}, zotui stop {name}"
    assert engine.alive() and heard(engine.run.path) == []
    reader = threading.Thread(target=lambda: list(AttachedEngine(engine.run).events()))
    reader.start()
    (engine.run.path / "go").touch()
    reader.join()
    assert engine.wait() == 0


async def test_a_run_that_another_app_has_resumed_is_gone_over_to(launch: Launch) -> None:
    engine = launch()
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done > 1, "steps")
        await pilot.press("s")
        await until(pilot, lambda: cockpit(pilot).run.outcome, "the end")
        before = cockpit(pilot)
        other = RunDir(engine.run.path)
        other.acquire()  # by an engine that has no socket here: its records can be watched
        await pilot.press("r")
        await until(pilot, lambda: pilot.app.cockpit not in (None, before), "another cockpit")
        await until_shown(pilot, "● live elsewhere", "read-only")
