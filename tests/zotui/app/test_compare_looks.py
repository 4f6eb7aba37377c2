"""Snapshots of the comparison and of the dialog that takes values away."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from app_helpers import until, until_shown
from textual.pilot import Pilot

from engine.rundir import RunDir
from zotui.app.application import ZotuiApp
from zotui.app.screens.compare import Compare
from zotui.app.screens.take_away import TakeAway
from zotui.app.widgets.compare_chart import CompareChart

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests are imported by file
from recorded_runs import recorded, three

SIZES = [(80, 24), (120, 40), (200, 60)]
THEMES = ["dark", "light"]
SnapCompare = Callable[..., bool]
sizes = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
themes = pytest.mark.parametrize("theme", THEMES)


class OnCompare(ZotuiApp):
    """The app whose start screen is followed by the comparison of some runs."""

    def __init__(self, runs: list[RunDir], theme: str = "dark") -> None:
        super().__init__()
        self.runs, self.wanted = runs, theme


async def opened(pilot: Pilot[int]) -> None:
    """Open the comparison, and wait until it shows all there is."""
    assert isinstance(pilot.app, OnCompare)
    pilot.app.theme = f"zotui-{pilot.app.wanted}"
    await pilot.app.push_screen(Compare(pilot.app.runs))
    await drawn(pilot)


async def drawn(pilot: Pilot[int]) -> None:
    """Wait until the chart shows all there is."""
    await until_shown(pilot, "train loss", "compare")
    screen = next(one for one in pilot.app.screen_stack if isinstance(one, Compare))
    await pilot.pause()
    await until(pilot, lambda: not screen._reading, "the reading's end")
    for _ in range(3):  # a large chart takes every other turn
        screen.redraw()
    await until(pilot, lambda: screen.query_one(CompareChart).draws, "a drawing")
    await pilot.pause()


@sizes
@themes
def test_compare(snap_compare: SnapCompare, home: Path, size: tuple[int, int], theme: str) -> None:
    assert snap_compare(OnCompare(three(home / "runs"), theme), terminal_size=size, run_before=opened)


@sizes
def test_held_out_over_time(snap_compare: SnapCompare, home: Path, size: tuple[int, int]) -> None:
    async def turn(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("x", "m")
        await drawn(pilot)

    assert snap_compare(OnCompare(three(home / "runs")), terminal_size=size, run_before=turn)


def test_logarithmic(snap_compare: SnapCompare, home: Path) -> None:
    async def turn(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("L")
        await drawn(pilot)

    assert snap_compare(OnCompare(three(home / "runs")), terminal_size=(120, 40), run_before=turn)


@pytest.mark.parametrize("size", SIZES[:2], ids=lambda size: f"{size[0]}x{size[1]}")
def test_eight_runs(snap_compare: SnapCompare, home: Path, size: tuple[int, int]) -> None:
    runs = [recorded(home / "runs" / f"demo-seed-{n}-20261120-101500", 600, seed=n, rate=1 + n / 4) for n in range(8)]
    assert snap_compare(OnCompare(runs), terminal_size=size, run_before=opened)


@sizes
@themes
def test_take_away(
    snap_compare: SnapCompare, home: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], theme: str
) -> None:
    async def ask(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await pilot.press("y")
        await until_shown(pilot, "Files go into")
        await pilot.pause()

    monkeypatch.setattr("zotui.app.screens.take_away.home", lambda: Path("/home/you/.local/share/zotui"))
    assert snap_compare(OnCompare(three(home / "runs"), theme), terminal_size=size, run_before=ask)


def test_take_away_without_charts(snap_compare: SnapCompare, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(pilot: Pilot[int]) -> None:
        await opened(pilot)
        pilot.app.push_screen(TakeAway(three(home / "others")[:1]))
        await until_shown(pilot, "pip install")
        screen = pilot.app.screen
        screen.query_one("#said").update("Files go into /home/you/.local/share/zotui/runs/demo/exports")
        await pilot.pause()

    monkeypatch.setattr("zotui.charts.find_spec", lambda name: None)
    assert snap_compare(OnCompare(three(home / "runs")), terminal_size=(120, 40), run_before=ask)
