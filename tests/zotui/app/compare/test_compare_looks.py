"""Pictures of the comparison and of what lies over it."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.runs.directory import RunDir
from tests.zotui.app.app_album import Album
from tests.zotui.app.app_helpers import until, until_shown
from tests.zotui.app.app_story import LOOKS, SHOWN, clocked
from tests.zotui.recorded_runs import recorded, three
from zotui.app.compare.chart import CompareChart
from zotui.app.compare.screen import Compare
from zotui.app.kit.take_away import TakeAway
from zotui.app.start.screen import Start

Size = tuple[int, int]
small = pytest.mark.parametrize("look", LOOKS[:2], indirect=True)


async def opened(pilot: Pilot[int], runs: list[RunDir]) -> None:
    """Open the comparison, and wait until it shows all there is."""
    await until(pilot, lambda: isinstance(pilot.app.screen, Start), "the start screen")
    pilot.app.post_message(Start.Compare(runs))
    await until_shown(pilot, "train loss")
    await drawn(pilot)


async def drawn(pilot: Pilot[int]) -> None:
    """Wait until the chart shows all there is."""
    screen = pilot.app.screen
    assert isinstance(screen, Compare)
    await until(pilot, lambda: not screen._reading, "the reading's end")
    for _ in range(3):  # a large chart takes every other turn
        screen.redraw()
    await until(pilot, lambda: screen.query_one(CompareChart).draws, "a drawing")


async def test_compare(look: Size, picture: Album, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zotui.app.kit.take_away.home", lambda: SHOWN.parent)
    monkeypatch.setattr("zotui.runs.export_charts.find_spec", lambda name: object())  # whatever is installed
    async with clocked(None).run_test(size=look) as pilot:
        await opened(pilot, three(home / "others"))
        await picture.in_all_themes(pilot)
        for key, shown in (("question_mark", "arrows scroll"), ("y", "Files go into")):
            await pilot.press(key)
            await until_shown(pilot, shown)
            await picture(pilot, "compare")
            await pilot.press("escape")
        await pilot.press("x", "m")
        await drawn(pilot)
        await picture(pilot, "held-out-over-time")


@small
async def test_views(look: Size, picture: Album, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zotui.runs.export_charts.find_spec", lambda name: None)
    runs = [recorded(home / "others" / f"demo-seed-{n}-20261120-101500", 600, seed=n, rate=1 + n / 4) for n in range(8)]
    async with clocked(None).run_test(size=look) as pilot:
        await opened(pilot, runs)
        await picture(pilot, "eight-runs")
        await pilot.press("L")
        await drawn(pilot)
        await picture(pilot, "logarithmic")
        monkeypatch.setattr(runs[0], "path", SHOWN / runs[0].name)
        await pilot.app.push_screen(TakeAway(runs[:1]))
        await until_shown(pilot, "pip install")
        await picture(pilot, "without-charts")
