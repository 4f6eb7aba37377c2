"""Pictures of the cockpit through a run's life; and that every screen has its pictures."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from textual.containers import Grid
from textual.screen import Screen

from engine.protocol.events import State, Telemetry
from engine.runs.directory import RunDir
from tests.zotui.app.app_album import PICTURES, Album
from tests.zotui.app.app_helpers import cockpit, until
from tests.zotui.app.app_story import (
    LOOKS,
    NARROWEST,
    SHOWN,
    clocked,
    died,
    drawn,
    eventful,
    finished,
    open_on,
    story,
    told,
)
from tests.zotui.recorded_runs import recorded
from zotui.app.keys import nodes
from zotui.app.state.feed import RecordsFeed

Size = tuple[int, int]


def test_every_screen_is_pictured_at_every_size() -> None:
    """A picture is called after the class of the screen that was on top when it was taken, by the fixture itself."""
    kinds = [kind for kind in nodes() if issubclass(kind, Screen) and not kind.__subclasses__()]
    assert {"Start", "Cockpit", "Question"} <= {kind.__name__ for kind in kinds}
    for kind in kinds:
        for look in LOOKS:
            assert [*PICTURES.glob(f"*/{look}/{kind.__name__}[-.]*txt")], f"{kind.__name__} at {look}"
        assert [*PICTURES.glob(f"*/*/{kind.__name__}[-.]*svg")], f"no {kind.__name__} is taken in all themes"


def test_every_picture_is_of_a_test() -> None:
    """A test that has passed sees to the pictures in its own folder; here, that each folder has such a test."""
    source = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py"))
    takers = re.findall(r"^async def test_(\w+)\([^)]*\bpicture: Album", source, re.MULTILINE)
    assert sorted(takers) == sorted(folder.name for folder in PICTURES.iterdir())  # two of one name would share one
    assert {folder.name.rpartition("-")[2] for folder in PICTURES.glob("*/*")} == {*LOOKS, NARROWEST}


async def test_life(run: RunDir, look: Size, picture: Album) -> None:
    app, items = open_on(run, story(run, steps=0)), eventful(run)
    async with app.run_test(size=look) as pilot:
        await drawn(pilot)
        await picture(pilot, "starting")
        begun = len(story(run, steps=0))
        await told(pilot, items[begun:-2])
        await picture.in_all_themes(pilot, "running")
        await told(pilot, items[-2:])
        await picture(pilot, "paused")
        rest = story(run, steps=450)[len(story(run)) - 1 :]
        await told(pilot, [State(state="running", step=320), *rest, *finished(run)])
        await picture(pilot, "finished")


async def test_attached_until_it_dies(run: RunDir, look: Size, picture: Album) -> None:
    app = open_on(run, story(run, gpu=False), "attached")
    async with app.run_test(size=look) as pilot:
        await drawn(pilot)
        await picture(pilot, "attached")
        await told(pilot, died())
        await picture.in_all_themes(pilot, "died")


async def test_records(run: RunDir, home: Path, look: Size, picture: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    past = recorded(home / "runs" / "opt-1.3b-sst2-20261120-101500", 1400, standing="stopped")
    monkeypatch.setattr(past, "path", SHOWN / past.name)
    app = clocked(RecordsFeed(past))
    async with app.run_test(size=look) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.outcome, "the end of the records")
        await drawn(pilot)
        await picture(pilot, "read-only")


async def test_chart(run: RunDir, look: Size, picture: Album) -> None:
    async with open_on(run, story(run)).run_test(size=look) as pilot:
        await drawn(pilot)
        await pilot.press("v", *["left"] * 9)
        await drawn(pilot)
        await picture(pilot, "inspected")
        await pilot.press("escape", "z")
        await drawn(pilot)
        await picture(pilot, "maximised")
        await pilot.press("z", *"mmmmm", "L")
        await drawn(pilot)
        await picture(pilot, "log-scale")


async def test_all_gpus(run: RunDir, look: Size, picture: Album) -> None:
    def four(item: Telemetry) -> Telemetry:
        (own,) = item.gpus
        others = [msgspec.structs.replace(own, index=index, ours=False) for index in range(3)]
        return msgspec.structs.replace(item, gpus=[*others, msgspec.structs.replace(own, index=3)])

    items = [four(item) if isinstance(item, Telemetry) else item for item in story(run)]
    async with open_on(run, items).run_test(size=look) as pilot:
        await drawn(pilot)
        await picture(pilot)
        tiles = pilot.app.screen.query_one("#gpu-tiles", Grid)
        await pilot.resize_terminal(200, 60)
        await until(pilot, lambda: tiles.styles.grid_size_columns == 6)
        await pilot.resize_terminal(120, 60)
        await until(pilot, lambda: tiles.styles.grid_size_columns == 4)
