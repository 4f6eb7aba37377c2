"""The start screen: presets, runs, and the way to the cockpit and back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import DataTable

from engine.runs.directory import all_runs
from tests.zotui.app.app_helpers import Launch, cockpit, past_run, preset_text, screen_text, status, until, until_shown
from zotui.app.app import ZotuiApp
from zotui.app.cockpit.screen import Cockpit
from zotui.app.compare.screen import Compare
from zotui.app.kit.dialogs import Message
from zotui.app.start.preset_list import PresetList
from zotui.app.start.run_list import RunList
from zotui.app.start.screen import Start
from zotui.app.state.feed import EngineFeed
from zotui.engines.launched import EngineProcess

WritePreset = Callable[[str, str], Path]


async def test_lists_presets_and_runs(write_preset: WritePreset) -> None:
    write_preset("demo", preset_text("Movie reviews"))
    past_run("old", "finished", 200, 0.652, ago=7200)
    past_run("young", "stopped", 120)
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "demo", "Movie reviews", "old-", "finished", "200/200", "acc 0.652", "2 h")
        await until_shown(pilot, "120/200", "10 min", "q quit")
        text = screen_text(app)
        assert text.index("young-") < text.index("old-")  # newest first


async def test_a_faulty_preset_shows_its_fault(write_preset: WritePreset) -> None:
    write_preset("bad", preset_text().replace("steps", "stepz"))
    app = ZotuiApp()
    async with app.run_test(notifications=True, size=(120, 40)) as pilot:
        await until_shown(pilot, "run.stepz: unknown key; did you mean 'run.steps'?")
        await pilot.press("enter")
        await until_shown(pilot, "bad cannot run")
        assert isinstance(app.screen, Start)
        assert all_runs() == []


async def test_an_engine_that_cannot_be_started_leaves_no_run(
    write_preset: WritePreset, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_preset("demo", preset_text())
    monkeypatch.setattr(EngineProcess, "COMMAND", ("/nowhere/to/be/found",))
    app = ZotuiApp()
    async with app.run_test(notifications=True, size=(120, 40)) as pilot:
        await until_shown(pilot, "Reviews", "none yet")
        await pilot.press("enter", "enter")
        await until_shown(pilot, "cannot run")
        assert all_runs() == []


async def test_enter_on_a_preset_starts_it_and_q_comes_back(
    write_preset: WritePreset, script: Callable[..., None]
) -> None:
    write_preset("demo", preset_text(steps=20))
    script(steps=20)
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "Reviews", "none yet")
        await pilot.press("enter", "enter")  # the second does not wait for what the preflight finds
        await until(pilot, lambda: isinstance(app.screen, Cockpit))
        await until_shown(pilot, "● finished", "20 of 20")
        name = cockpit(pilot).feed.run.name
        await pilot.press("q")
        await until_shown(pilot, "presets", name, "20/20", "finished")
        assert app.is_running
        await pilot.press("q")
    assert app.return_value == 0


async def test_a_refused_preset_comes_back_with_the_reason(
    write_preset: WritePreset, script: Callable[..., None]
) -> None:
    write_preset("demo", preset_text())
    script(refuse="model.path: /models/nowhere does not exist")
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "Reviews")
        await pilot.press("enter", "enter")
        await until_shown(pilot, "the engine refused to start", "model.path: /models/nowhere does not exist")
        assert isinstance(app.screen, Message)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Start))
        assert all_runs() == []  # a refused run leaves nothing behind


async def test_enter_on_a_run_looks_at_it(script: Callable[..., None]) -> None:
    past_run("old", "finished", 200, 0.652)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "old-")
        await pilot.press("tab", "enter")
        await until_shown(pilot, "read-only", "● finished", "0.602 → 0.652", "zotui export old-")
        assert cockpit(pilot).run.losses.x == list(range(200))
        await pilot.press("space", "c", "e", "s", "r")  # none of them means anything here
        await until(pilot, lambda: status(pilot).startswith("● finished"))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Start))


async def test_r_resumes_a_stopped_run(script: Callable[..., None]) -> None:
    run = past_run("half", "stopped", 100, 0.61)
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "half-", "100/200")
        await pilot.press("tab", "r")
        await until_shown(pilot, "● finished", "200 of 200")
        assert cockpit(pilot).run.losses.x == list(range(200))
        assert len(list(run.journal())) == 200


async def test_a_resumed_run_shows_what_is_known_of_it_while_its_engine_starts(
    script: Callable[..., None], tmp_path: Path
) -> None:
    script(gate=str(tmp_path / "gate"))
    past_run("half", "stopped", 100, 0.61)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "half-", "100/200")
        await pilot.press("tab", "r")
        await until_shown(pilot, "loading model", "step 100/200", "best 0.610 at 100")
        await pilot.press("space")
        await until_shown(pilot, "● paused", "paused at step 100")
        assert cockpit(pilot).run.marks[-1].step == 100
        await pilot.press("s")
        await until_shown(pilot, "stopped and saved at step 100", "100 of 200")


async def test_a_run_that_is_stopped_before_its_first_step_can_be_resumed_and_not_exported(
    launch: Launch, tmp_path: Path
) -> None:
    app = ZotuiApp(EngineFeed(launch(gate=str(tmp_path / "gate"))))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "loading model", "step 0/200")
        await pilot.press("s")
        await until_shown(pilot, "0 of 200", "zotui resume")
        assert "zotui export" not in screen_text(app)


async def test_a_crashed_run_can_be_looked_at_and_resumed_from_there(script: Callable[..., None]) -> None:
    past_run("lost", "running", 60, 0.61)  # says running, and holds no lock
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "lost-", "crashed")
        await pilot.press("tab", "enter")
        await until_shown(pilot, "the engine died at step 60", "r resume")
        await pilot.press("r")
        await until_shown(pilot, "● finished", "200 of 200")
        assert cockpit(pilot).run.losses.x == list(range(200))


async def test_a_finished_run_is_not_resumed(script: Callable[..., None]) -> None:
    past_run("old", "finished", 200)
    app = ZotuiApp()
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        await until_shown(pilot, "old-")
        await pilot.press("tab", "r")
        await until_shown(pilot, "is finished")
        assert isinstance(app.screen, Start)


async def test_keys_move_in_and_between_the_lists(write_preset: WritePreset) -> None:
    for name in ("alpha", "beta"):
        write_preset(name, preset_text(f"About {name}"))
    past_run("one", "finished", 1, ago=10)
    past_run("two", "finished", 1, ago=20)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        detail = app.screen.query_one("#detail")
        await until(pilot, lambda: detail.border_title == "alpha")
        await pilot.press("down")
        await until(pilot, lambda: detail.border_title == "beta")
        await pilot.press("tab", "down")
        await until(pilot, lambda: str(detail.border_title).startswith("two-"))
        await pilot.press("tab")
        await until(pilot, lambda: detail.border_title == "beta")
        assert app.screen.query_one(DataTable).cursor_row == 1


async def test_the_theme_changes_and_everything_follows(launch: Launch) -> None:
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "presets")
        dark = app.screen.styles.background
        assert app.current_theme.dark
        await pilot.press("t")
        assert not app.current_theme.dark
        await until(pilot, lambda: app.screen.styles.background != dark)


async def test_the_filter_narrows_both_lists_as_it_is_typed(write_preset: WritePreset) -> None:
    write_preset("alpha", preset_text("About one", model="models/llama"))
    write_preset("beta", preset_text("About two"))
    past_run("one", "finished", 200, ago=10)
    past_run("two", "stopped", 1, ago=20)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "alpha", "beta", "one-", "two-")
        await pilot.press("slash", *"LLAMA")
        await until(pilot, lambda: "beta" not in screen_text(app) and "alpha" in screen_text(app))
        await until_shown(pilot, "none that the filter finds")
        await pilot.press("escape")
        await until_shown(pilot, "alpha", "beta", "one-", "two-")
        await pilot.press("slash", *"stop")
        await until(pilot, lambda: "one-" not in screen_text(app) and "two-" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.focused, RunList), "the cursor among what was found")
        await pilot.press("slash", "down")
        await until(pilot, lambda: isinstance(app.focused, RunList), "likewise")
        await pilot.press("q")
    assert app.return_value == 0


async def test_enter_that_is_pressed_too_often_opens_one_preflight(write_preset: WritePreset) -> None:
    write_preset("demo", preset_text())
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "1.1 GiB")
        for _ in range(5):  # before any of them is acted on
            app.screen.query_one(PresetList).action_select()
        await until_shown(pilot, "preflight: demo")
        await pilot.pause()
        assert len(app.screen_stack) == 3  # the default one, the start screen's, and it


async def test_d_asks_and_deletes_a_run(write_preset: WritePreset) -> None:
    write_preset("demo", preset_text())
    run, other = past_run("old", "finished", 200), past_run("kept", "finished", 200, ago=9000)
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "old-", "kept-")
        await pilot.press("tab", "d")
        await until_shown(pilot, "delete this run?", "200 of 200 steps")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Start))
        assert run.path.exists()
        await pilot.press("d", "d")
        await until(pilot, lambda: not run.path.exists() and "old-" not in screen_text(app))
        assert other.path.exists()


@pytest.mark.parametrize("key", ["enter", "r", "n", "d", "x"])
async def test_a_run_that_is_gone_by_now_is_told_and_leaves_the_list(key: str) -> None:
    run, other = past_run("gone", "stopped", 100), past_run("kept", "stopped", 100, ago=9000)
    app = ZotuiApp()
    async with app.run_test(notifications=True, size=(120, 40)) as pilot:
        await until_shown(pilot, "gone-", "kept-")
        await pilot.press("tab", "space", "space", "up", "up")
        shutil.rmtree(run.path)  # in another terminal
        await pilot.press(key)
        await until_shown(pilot, f"{run.name} was deleted")
        await until(pilot, lambda: "● gone-" not in screen_text(app) and other.name in screen_text(app))
        assert isinstance(app.screen, Start)


async def test_marks_of_runs_that_the_filter_hides_stay() -> None:
    past_run("one", "stopped", 100), past_run("two", "finished", 200, ago=9000)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "one-", "two-")
        await pilot.press("tab", "space", "slash", *"two", "enter")
        await until(pilot, lambda: "one-" not in screen_text(app), "the filter")
        await pilot.press("space", "x")
        await until(pilot, lambda: isinstance(app.screen, Compare), "both, compared")


async def test_a_live_run_is_not_deleted(launch: Launch) -> None:
    engine = launch(steps=20, gate="/never/there")
    app = ZotuiApp()
    async with app.run_test(notifications=True, size=(160, 40)) as pilot:
        await until_shown(pilot, f"{engine.run.name}  ", " live ")
        await pilot.press("tab", "d")
        await until_shown(pilot, "is live; stop it first")
        assert isinstance(app.screen, Start) and engine.run.path.exists()


async def test_only_presets_of_ones_own_are_deleted(write_preset: WritePreset, tmp_path: Path) -> None:
    (tmp_path / "builtin" / "demo.toml").write_text(preset_text("Shipped"))
    own = write_preset("mine", preset_text("Own"))
    app = ZotuiApp()
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        await until_shown(pilot, "Shipped", "Own")
        await pilot.press("d")
        await until_shown(pilot, "comes with zotui and stays")
        await pilot.press("down", "d")
        await until_shown(pilot, "delete this preset?")
        await pilot.press("d")
        await until(pilot, lambda: not own.exists() and "Own" not in screen_text(app))
