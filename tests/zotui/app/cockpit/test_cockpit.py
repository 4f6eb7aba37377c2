"""The cockpit on a scripted engine, over real pipes."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partialmethod
from pathlib import Path

import pytest
from textual.app import App
from textual.widgets import Button

from engine.runs.directory import RunDir
from tests.zotui.app.app_helpers import Launch, cockpit, heard, screen_text, status, until, until_shown
from zotui.app import glossary, run_app
from zotui.app.app import ZotuiApp
from zotui.app.cockpit.panes.outcome import Verdict
from zotui.app.cockpit.panes.series_chart import SeriesChart
from zotui.app.kit.dialogs import Question
from zotui.app.kit.help import Help
from zotui.app.kit.tile import Tile
from zotui.app.start.screen import Start
from zotui.app.state.feed import EngineFeed, RecordsFeed
from zotui.engines.launched import EngineProcess


@contextmanager
def frozen(engine: EngineProcess) -> Iterator[None]:
    """An engine that is alive and hears nothing: what was asked stays unconfirmed."""
    engine.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        engine.signal(signal.SIGCONT)


SIZES = [(80, 24), (120, 40), (200, 60)]


@pytest.mark.parametrize("size", SIZES)
async def test_shows_the_run(launch: Launch, size: tuple[int, int]) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=60, gpu=True)))
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done == 60)
        await until_shown(pilot, "loss", "tok/s", "KV", "GPU", "step 60/200", "ETA ~", "24,038", "31.2/140 GiB")
        await until_shown(pilot, "0.602 → 0.612", "space", "help", "eval")
        for tile in cockpit(pilot).query("#run-tiles Tile").results(Tile):
            assert app.screen.region.contains_region(tile.region) and tile.size.width >= 14
        await pilot.press("question_mark")
        assert isinstance(app.screen, Help)
        await until_shown(pilot, "pause after the step in flight", "write a checkpoint now")


async def test_what_a_new_run_did_before_anybody_looked_is_told_once(launch: Launch) -> None:
    engine = launch(hold_at=60)
    while engine.run.steps_done() < 60:
        assert engine.alive()
        await asyncio.sleep(0.02)
    async with ZotuiApp(EngineFeed(engine)).run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.runtime and cockpit(pilot).run.done == 60, "all that was said")
        told = [entry.text for entry in cockpit(pilot).run.entries if entry.kind == "eval"]
        assert [one.split("  ")[0] for one in told] == ["step 0", "step 50"]


def test_help_explains_the_words_of_the_tiles() -> None:
    explained = " ".join(glossary.COCKPIT)
    for title in ("loss", "accuracy", "tok/s", "step time", "KV", "GPU", "memory", "CPU", "ETA"):
        assert title in explained


async def test_without_a_gpu_it_says_so(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=20)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "no GPU")


async def test_pause_and_resume(launch: Launch) -> None:
    engine = launch(steps=1_000_000)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done > 5)
        await pilot.press("space")
        await until(pilot, lambda: status(pilot).startswith("● paused "))
        held = cockpit(pilot).run.done
        journal = engine.run.journal_file.read_bytes()
        await until_shown(pilot, "resume")  # the footer's word for space
        await pilot.pause(0.2)
        assert (engine.run.journal_file.read_bytes(), cockpit(pilot).run.done) == (journal, held)
        await pilot.press("space")
        await until(pilot, lambda: cockpit(pilot).run.done > held and status(pilot).startswith("● running"))
        assert heard(engine.run.path) == ["Pause", "Resume"]


async def test_a_pause_is_shown_before_it_is_confirmed(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(steps=1_000_000, deaf=True)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done > 5)
        await pilot.press("space")
        await until(pilot, lambda: status(pilot).startswith("● pausing…"))
        await until_shown(pilot, "● pausing…", "resume")
        await pilot.press("space")  # before it paused: never mind
        await until(pilot, lambda: status(pilot).startswith("● running"))


async def test_pause_during_start_up(launch: Launch, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    engine = launch(gate=str(gate))
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: status(pilot).startswith("● starting  loading model 40%"))
        await pilot.press("space")
        await until(pilot, lambda: status(pilot).startswith("● paused  loading model 40%"))
        gate.touch()
        await until(pilot, lambda: status(pilot).startswith("● paused  warm-up"))
        await until_shown(pilot, "self-check")  # the engine is up, and holds
        assert not engine.run.journal_file.read_bytes()
        await pilot.press("space")
        await until(pilot, lambda: cockpit(pilot).run.done > 0)


async def test_checkpoint_and_evaluate(launch: Launch) -> None:
    engine = launch(hold_at=7, eval_every=1000)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done == 7)
        with frozen(engine):
            await pilot.press("c")
            await until_shown(pilot, "running  checkpoint requested", "you    checkpoint requested")
        await until_shown(pilot, "checkpoint of step 7 saved")
        with frozen(engine):
            await pilot.press("e")
            await until_shown(pilot, "running  evaluation requested", "you    evaluation requested")
        await until_shown(pilot, "step 7  accuracy 0.603")
        assert "requested" not in status(pilot)
        assert heard(engine.run.path) == ["Save", "Evaluate"]


async def test_stop_shows_the_summary_and_stays(launch: Launch) -> None:
    engine = launch(steps=1_000_000, hold_at=120)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done == 120)
        with frozen(engine):
            await pilot.press("s")
            await until(pilot, lambda: status(pilot).startswith("● stopping…"))
        await until_shown(pilot, "stopped and saved at step 120", "0.602 → 0.622", "r resume")
        text = cockpit(pilot).query_one(Verdict).text
        assert f"zotui export {engine.run.name} --to DIR --format merged" in text
        assert str(engine.run.path) in text and "133.4 s" in text
        await until(pilot, lambda: cockpit(pilot).exit_code is not None)
        assert "pause" not in screen_text(app).splitlines()[-1]
        await pilot.press("q")
    assert app.return_value == 0


async def test_a_finished_run_cannot_be_resumed(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(steps=40)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "● finished", "40 of 40")
        assert "resume" not in screen_text(app)
        run = cockpit(pilot).run
        await pilot.press("r")
        assert run.outcome is not None


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
async def test_leaving_a_live_run_asks(launch: Launch, key: str) -> None:
    engine = launch(steps=1_000_000)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done > 0)
        await pilot.press(key)
        await until_shown(pilot, "Keep watching", "Leave it running", "Stop and save")
        await pilot.press(key)  # asking twice is asking once
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is cockpit(pilot))
        assert engine.alive() and heard(engine.run.path) == []
        assert app.is_running


@pytest.mark.parametrize("keys", [["right", "right", "enter"], ["s"]], ids=" ".join)
async def test_stop_and_save_waits_for_the_engine_and_quits(launch: Launch, keys: list[str]) -> None:
    engine = launch(steps=1_000_000)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done > 0)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press(*keys)
        await until(pilot, lambda: not app.is_running or app.return_value is not None)
    assert heard(engine.run.path) == ["Stop"]
    assert not engine.alive()
    assert engine.run.summary().standing == "stopped"
    assert app.return_value == 0


@pytest.mark.parametrize(("key", "quits"), [("q", False), ("ctrl+q", True)])
async def test_stop_and_save_goes_back_to_where_the_run_was_opened_from(launch: Launch, key: str, quits: bool) -> None:
    engine = launch(steps=1_000_000)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: engine.run.is_live(), "the engine's lock")
        await until_shown(pilot, engine.run.name, "live")
        await pilot.press("tab", "enter")
        await until(pilot, lambda: app.cockpit is not None and cockpit(pilot).run.done > 0, "its steps")
        await pilot.press(key)
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("s")
        if quits:
            await until(pilot, lambda: app.return_value is not None)
        else:
            await until(pilot, lambda: isinstance(app.screen, Start))
            await until_shown(pilot, "stopped")
    assert engine.run.summary().standing == "stopped"


@pytest.mark.parametrize("keys", [["right", "enter"], ["l"]], ids=" ".join)
async def test_a_run_that_is_left_goes_on(launch: Launch, keys: list[str]) -> None:
    engine = launch(hold_at=30)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done == 30)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press(*keys)
        await until(pilot, lambda: app.return_value is not None)
    name = engine.run.name
    assert app.return_value == 0
    assert app.last_words() == [f"{name} goes on: zotui attach {name}, zotui stop {name}"]
    assert heard(engine.run.path) == []
    (engine.run.path / "go").touch()
    assert engine.wait() == 0
    assert len(list(engine.run.journal())) == 200


async def test_leaving_a_run_that_is_held_says_that_it_fails(launch: Launch) -> None:
    engine = launch(fault_at=30)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.fault)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("l")
        await until(pilot, lambda: app.return_value is not None)
    name = engine.run.name
    assert app.return_value == 1
    assert app.last_words() == [f"{name} is saved and has failed once no app is attached: zotui show {name}"]


async def test_a_run_that_stops_with_its_app_is_asked_about_in_other_words(launch: Launch) -> None:
    engine = launch(steps=1_000_000, preset={"when_app_leaves": "stop"})
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done > 0)
        await pilot.press("q")
        await until_shown(pilot, "Leave (it stops)", "run.when_app_leaves = stop")
        await pilot.press("l")
        await until(pilot, lambda: app.return_value is not None)
    assert app.return_value == 0
    name = engine.run.name
    assert app.last_words() == [f"{name} saves and stops once no app is attached: zotui resume {name}"]


async def test_a_hung_engine_does_not_hold_the_app(launch: Launch, tmp_path: Path) -> None:
    engine = launch(steps=1_000_000)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done > 0)
        engine.signal(signal.SIGSTOP)
        await pilot.press("s")
        await pilot.press("q")
        await until_shown(pilot, "Keep waiting", "Kill it and quit")
        app.screen.query_one("#kill", Button).press()
        await until(pilot, lambda: app.return_value is not None)
    assert engine.wait() == 137
    assert app.return_value in (1, 137)  # whether or not its end was still seen


async def test_death_offers_to_resume_and_keeps_the_history(launch: Launch) -> None:
    engine = launch(steps=120, die_at=70)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "the engine died at step 70", "SIGKILL", "engine log line 19", "r resume")
        assert cockpit(pilot).has_class("-died")
        before = list(cockpit(pilot).run.losses.x)
        assert before == list(range(70))
        await pilot.press("r")
        await until_shown(pilot, "● finished", "120 of 120")
        assert cockpit(pilot).run.losses.x == list(range(120))
        assert not cockpit(pilot).has_class("-died")
        assert [step.step for step in engine.run.journal()] == list(range(120))


async def test_a_failure_says_what_happened(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(fail_at=10)))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "CUDA out of memory: 12.00 GiB wanted", "engine log line 19", "r resume")
        await until(pilot, lambda: cockpit(pilot).exit_code == 1)
        await pilot.press("q")
    assert app.return_value == 1


async def test_the_end_closes_an_open_question(launch: Launch) -> None:
    engine = launch(steps=1_000_000)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done > 0)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Question))
        engine.kill()
        await until_shown(pilot, "the engine died at step")
        assert app.screen is cockpit(pilot)


async def test_resuming_loads_the_steps_before(launch: Launch) -> None:
    engine = launch(steps=100, die_at=60)
    for _ in engine.events():
        pass
    assert engine.wait() == 137
    app = ZotuiApp(EngineFeed(EngineProcess(engine.run, resume=True)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "● finished")
        run = cockpit(pilot).run
        assert run.losses.x == list(range(100))
        assert [taken.step for taken in run.evaluations] == [0, 50, 100]


async def test_a_live_run_of_another_process_is_followed(launch: Launch) -> None:
    engine = launch(steps=100, hold_at=50)
    other = threading.Thread(target=lambda: list(engine.events()), daemon=True)
    other.start()
    while not engine.run.journal_file.exists():
        await asyncio.sleep(0.02)
    app = ZotuiApp(RecordsFeed(engine.run))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "live elsewhere", "step 50/100", "read-only")
        await pilot.press("space", "s")
        (engine.run.path / "go").touch()
        await until_shown(pilot, "● finished", "100 of 100")
        assert heard(engine.run.path) == []
        await pilot.press("q")
    assert app.return_value == 0


@pytest.mark.parametrize(("state", "told"), [("stopped", "r resumes the run"), ("finished", "the run is over")])
async def test_keys_that_steer_say_why_there_is_nothing_to_steer(launch: Launch, state: str, told: str) -> None:
    engine = launch(steps=20)
    list(engine.events())
    engine.run.info.update(state=state)
    app = ZotuiApp(RecordsFeed(engine.run))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until_shown(pilot, "20 of 20")
        for key in ("space", "c", "e", "l", "s"):
            await pilot.press(key)
            await until_shown(pilot, told)
            app.clear_notifications()
            await until(pilot, lambda: told not in screen_text(app))


async def test_a_fast_run_is_drawn_at_most_twice_a_second(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(steps=100_000, delay=0.0005, hold_at=1500, eval_every=10_000)))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done > 0)
        chart = cockpit(pilot).query_one("#main-chart", SeriesChart)
        loop = asyncio.get_running_loop()
        begun, draws = loop.time(), chart.draws
        await until(pilot, lambda: cockpit(pilot).run.done == 1500)
        assert chart.draws - draws <= 2 * (loop.time() - begun) + 2
        cockpit(pilot).redraw()
        drawn = chart.draws
        cockpit(pilot).redraw()
        assert chart.draws == drawn  # nothing changed, nothing drawn


def test_a_refused_run_leaves_the_app(
    launch: Launch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ZotuiApp, "run", partialmethod(App.run, headless=True))
    engine = launch(refuse="task.train: data.jsonl holds no column 'text'; did you mean 'sentence'?")
    assert run_app(engine) == 2
    error = capsys.readouterr().err
    assert error.splitlines() == ["task.train: data.jsonl holds no column 'text'; did you mean 'sentence'?"]


async def test_steps_in_the_journal_are_those_on_the_chart(launch: Launch) -> None:
    engine = launch(steps=30)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "● finished")
        losses = cockpit(pilot).run.losses
        recorded = [(step.loss_plus + step.loss_minus) / 2 for step in RunDir(engine.run.path).journal()]
        assert losses.means == pytest.approx(recorded)


async def test_a_chart_can_be_zoomed_and_shown_whole_again(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=60)))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done == 60)
        chart = cockpit(pilot).query_one("#main-chart", SeriesChart)
        await until(pilot, lambda: chart.plot._x_max > 60)
        whole = chart.plot.ranges[1] - chart.plot.ranges[0]
        chart.plot.focus()
        await pilot.press("plus", "plus")
        assert chart.plot.ranges[1] - chart.plot.ranges[0] < whole and chart.plot.zoomed
        (cockpit(pilot).feed.run.path / "go").touch()
        await until_shown(pilot, "● finished")
        cockpit(pilot).redraw()
        assert chart.plot._x_max < 120  # the user's range stays while the run goes on
        await pilot.press("0")
        await until(pilot, lambda: chart.plot._x_max > 200 and not chart.plot.zoomed)


@pytest.mark.parametrize("size", SIZES)
async def test_a_run_that_cannot_go_on_says_why_and_can_be_tried_again_or_stopped(
    launch: Launch, size: tuple[int, int]
) -> None:
    engine = launch(fault_at=30)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "paused at step 30", "not a finite", "method.eps", "resume")
        await until(pilot, lambda: status(pilot).startswith("● paused "))
        told = len(cockpit(pilot).run.entries)
        await pilot.press("space")
        await until(pilot, lambda: heard(engine.run.path) == ["Resume"])
        await until(pilot, lambda: "paused at step 30" in list(cockpit(pilot).run.entries)[-1].text)
        assert len(cockpit(pilot).run.entries) > told
        await pilot.press("q")
        await until_shown(pilot, "the run is held", "Leave (it fails)")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is cockpit(pilot))
        await pilot.press("s")
        await until_shown(pilot, "stopped and saved at step 30", "not a finite number")
        assert cockpit(pilot).exit_code == 1


@pytest.mark.parametrize("size", SIZES)
async def test_the_verdict_on_the_signal_is_in_sight(launch: Launch, size: tuple[int, int]) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=60, noise=0.004)))  # the scripted losses are 0.002 apart
    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "the difference between the two losses is below the noise")
        if size[0] == 120:
            await until_shown(pilot, "times the noise", "100% of steps below it", "raise eps")
