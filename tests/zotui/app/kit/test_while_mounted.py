"""A screen that is being left: what a timer or a thread still brings finds its parts gone, and is dropped."""

from __future__ import annotations

from pathlib import Path

from tests.zotui.app.app_helpers import Launch, until, until_shown
from tests.zotui.recorded_runs import three
from zotui.app.app import ZotuiApp
from zotui.app.cockpit.try_it import TryIt
from zotui.app.cockpit.whom import LiveRun
from zotui.app.compare.screen import Compare
from zotui.app.kit.take_away import TakeAway
from zotui.app.state.feed import EngineFeed


async def test_a_comparison_may_be_left_while_it_reads(home: Path) -> None:
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = Compare(three(home / "runs"))
        await app.push_screen(screen)
        await until(pilot, lambda: screen.compared is not None and not screen._reading, "the reading's end")
        await app.pop_screen()
        assert not screen.query("*")
        screen._show()
        screen.redraw()


async def test_a_cockpit_and_what_lies_over_it_may_be_left_while_things_come(launch: Launch) -> None:
    engine = launch(hold_at=10)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "step 10/200")
        cockpit = app.cockpit
        assert cockpit is not None
        away, tried = TakeAway([engine.run]), TryIt(LiveRun(cockpit.run, lambda command: True))
        for dialog in (away, tried):
            await app.push_screen(dialog)
            await app.pop_screen()
            assert not dialog.query("*")
        away._say("Written", "")
        tried.look()
        await app.pop_screen()
        assert not cockpit.query("*")
        cockpit.redraw()
        cockpit.drain()
