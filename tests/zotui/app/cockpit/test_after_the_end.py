"""A run that is over is shown as it is, however it is looked at from then on: nothing comes that would redraw it."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.zotui.app.app_helpers import cockpit, past_run, until, until_shown
from tests.zotui.recorded_runs import recorded
from zotui.app.app import ZotuiApp
from zotui.app.cockpit.panes.events import LogPane
from zotui.app.cockpit.panes.series_chart import SeriesChart
from zotui.app.cockpit.panes.signal import SignalPane
from zotui.app.kit.help import Help
from zotui.app.start.screen import Start
from zotui.app.state.feed import RecordsFeed


def colour_of_the_curve(pilot: Pilot[int]) -> str:
    return str(cockpit(pilot).query_one("#main-chart", SeriesChart).plot.traces[-1])


async def over(pilot: Pilot[int]) -> None:
    await until(pilot, lambda: cockpit(pilot).run.outcome, "the end")
    await pilot.pause()


@pytest.mark.parametrize("standing", ["finished", "failed"])
async def test_panes_that_a_larger_terminal_has_room_for_are_filled(home: Path, standing: str) -> None:
    app = ZotuiApp(RecordsFeed(recorded(home / "runs" / "demo", standing=standing)))
    async with app.run_test(size=(80, 24)) as pilot:
        await over(pilot)
        for size in ((160, 60), (120, 40), (200, 60)):
            await pilot.resize_terminal(*size)
            await until_shown(pilot, "0.927", *(["|L+ − L−|"] if standing == "finished" or size != (120, 40) else []))
            for chart in cockpit(pilot).query(SeriesChart):  # drawn at the size that it has
                await until(
                    pilot,
                    lambda chart=chart: chart._drawn[1:3] == (chart.size, chart.plot.size) and chart.plot.traces,
                    "a curve",
                )


async def test_the_curve_takes_the_colours_of_another_theme(home: Path) -> None:
    app = ZotuiApp(RecordsFeed(past_run("demo", "finished", 200)))
    async with app.run_test(size=(120, 40)) as pilot:
        await over(pilot)
        before = colour_of_the_curve(pilot)
        await pilot.press("t")
        await until(pilot, lambda: colour_of_the_curve(pilot) != before, "other colours")


@pytest.mark.parametrize(("standing", "size"), [("finished", (80, 24)), ("failed", (120, 40)), ("failed", (80, 24))])
async def test_events_that_gave_way_to_the_end_are_shown_alone(
    home: Path, standing: str, size: tuple[int, int]
) -> None:
    app = ZotuiApp(RecordsFeed(past_run("demo", standing, 200, 0.63)))
    async with app.run_test(size=size) as pilot:
        await over(pilot)
        assert not cockpit(pilot).query_one(LogPane).is_on_screen
        await pilot.press("slash", *"200")
        await until_shown(pilot, "step 200")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: not cockpit(pilot).query_one(LogPane).is_on_screen, "all panes again")
        await pilot.press("5")
        await until(pilot, lambda: cockpit(pilot).query_one(LogPane).is_on_screen, "the events alone")
        assert not cockpit(pilot).panes._choices.shown  # the next run has the usual ones


async def test_a_pane_that_stands_alone_stays_when_the_run_ends(home: Path) -> None:
    app = ZotuiApp(RecordsFeed(past_run("demo", "finished", 200)))
    async with app.run_test(size=(120, 40)) as pilot:
        await over(pilot)
        cockpit(pilot).query_one(LogPane)._lines.focus()
        await pilot.press("z")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: cockpit(pilot).query_one(LogPane).is_on_screen, "the events")


async def test_ctrl_q_ends_the_app_and_q_goes_back_whatever_lies_over_the_run(home: Path) -> None:
    past_run("demo", "finished", 200)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "demo-")
        await pilot.press("tab", "enter")
        await over(pilot)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Start), "the list")
        await pilot.press("enter")
        await over(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help), "the help")
        cockpit(pilot).action_leave()  # as when a run that was to be saved has ended
        await until(pilot, lambda: isinstance(app.screen, Start), "the list, at once")
        await pilot.press("enter")
        await over(pilot)
        await pilot.press("ctrl+q")
    assert app.return_value == 0


async def test_the_figures_of_the_signal_are_those_of_all_steps(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zotui.app.state.feed.MOST_PER_DRAIN", 2)  # they come over many drains
    run = recorded(home / "runs" / "demo", 400, every=20)
    app = ZotuiApp(RecordsFeed(run))
    async with app.run_test(size=(160, 60)) as pilot:
        await over(pilot)
        shown = str(cockpit(pilot).query_one(SignalPane).render())
        figures = cockpit(pilot).run.signal.figures()
        assert figures is not None and f"{figures.trend:+.3g}" in shown and cockpit(pilot).run.taken == 400
