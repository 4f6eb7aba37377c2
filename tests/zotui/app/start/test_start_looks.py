"""Pictures of the start screen and of what opens from it, from what a scripted preflight finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.runs.directory import RunDir, Summary
from tests.zotui.app.app_album import Album
from tests.zotui.app.app_helpers import past_run, preset_text, until, until_shown
from tests.zotui.app.app_story import NOON, SHOWN, clocked
from zotui.app.cockpit.screen import Cockpit
from zotui.app.preset.field_row import FieldRow
from zotui.app.start.detail import Detail
from zotui.app.start.screen import Start
from zotui.home import presets

Size = tuple[int, int]
PUBLISHED = Path(presets._CHECKOUT) / "opt-13b-sst2.toml"


@pytest.fixture(autouse=True)
def filled(
    home: Path,
    write_preset: Callable[[str, str], Path],
    preflight_script: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> RunDir:
    """Presets and runs of all kinds; returned is the live one, which is live for as long as somebody has it."""
    write_preset("demo", preset_text("Sentiment on a small OPT, minutes on a laptop", steps=450))
    write_preset("opt-13b-sst2", PUBLISHED.read_text())
    write_preset("llama-local", preset_text("A model that was never downloaded"))
    write_preset("tickets", preset_text().replace("steps", "stepz"))
    preflight_script(fits={"opt-13b-sst2": "no", "llama-local": "unknown"})
    for name, standing, done, steps, accuracy, ago in (
        ("demo-20251009-085320", "stopped", 120, 450, 0.611, 600),
        ("opt-13b-sst2-20251008-221000", "finished", 2_000, 2_000, 0.911, 40_000),
        ("demo-20251007-090000", "running", 120, 450, 0.611, 90_000),
        ("tickets-20251004-101500", "failed", 31, 5_000, None, 400_000),
    ):
        path = home / "runs" / name
        past_run(name.rsplit("-", 2)[0], standing, done, accuracy, ago, steps=steps, path=path, now=NOON)
    live = past_run("demo", "running", 31, 0.602, 60, steps=450, path=home / "runs" / "demo-20251009-090220", now=NOON)
    live.acquire()
    explain = Detail.show_run

    def elsewhere(detail: Detail, run: Summary) -> None:
        explain(detail, replace(run, path=str(SHOWN / run.name)))

    monkeypatch.setattr(Detail, "show_run", elsewhere)
    return live


async def back(pilot: Pilot[int]) -> None:
    """To the start screen."""
    await pilot.press("escape")
    await until(pilot, lambda: isinstance(pilot.app.screen, Start), "the start screen")


async def test_start(look: Size, picture: Album) -> None:
    app = clocked(None)
    async with app.run_test(size=look) as pilot:
        await until_shown(pilot, "10 min", "too big")
        await picture.in_all_themes(pilot)
        await pilot.press("question_mark")
        await until_shown(pilot, "arrows scroll")
        await picture(pilot, "start")
        await back(pilot)
        await pilot.press("ctrl+p")
        await until_shown(pilot, "filter  (/)")
        await picture(pilot, "start")
        await back(pilot)
        await pilot.press("tab")
        await picture(pilot, "runs")
        await pilot.press("down", "d")
        await until_shown(pilot, "Keep it")
        await picture(pilot, "deleting")
        await back(pilot)
        await pilot.press("slash", *"opt")
        await picture(pilot, "filtered")
        app.post_message(
            Cockpit.Refused("demo: task.template names the column 'review', which train.jsonl does not have")
        )
        await until_shown(pilot, "enter close")
        await picture.in_all_themes(pilot)


async def test_tuning(look: Size, picture: Album, tuning_script: Callable[..., None]) -> None:
    tuning_script(hang=True)
    async with clocked(None).run_test(size=look) as pilot:
        await until_shown(pilot, "10 min", "too big")
        pilot.app.simulate_key("u")  # its widgets are replaced with every finding: none of them can be waited for
        await until_shown(pilot, "trial 4, lr 0.0001: step 77")
        await picture.in_all_themes(pilot, "trying")
        pilot.app.simulate_key("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Start), "the start screen")
        tuning_script()
        pilot.app.simulate_key("u")
        await until_shown(pilot, "found: enter")
        await picture(pilot, "found")
        pilot.app.simulate_key("enter")
        await until_shown(pilot, "1 changed")
        await picture(pilot, "tuned")


async def test_preset(look: Size, picture: Album, preflight_script: Callable[..., None]) -> None:
    async with clocked(None).run_test(size=look) as pilot:
        await until_shown(pilot, "10 min", "too big")
        await pilot.press("enter")
        await until_shown(pilot, "ready")
        await picture.in_all_themes(pilot, "ready")
        await back(pilot)
        preflight_script(refuse="task.template: the column 'review' is in no line of train.jsonl; it has text, stars")
        await pilot.press("enter")
        await until_shown(pilot, "refused: escape")
        await picture(pilot, "refused")
        await back(pilot)
        await pilot.press("n")
        await until(pilot, lambda: pilot.app.screen.query(FieldRow), "the form")
        field(pilot, "description").value = "Sentiment, twice as long"
        await until_shown(pilot, "1 changed")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "enter saves")
        await picture.in_all_themes(pilot)
        await pilot.press("escape")
        field(pilot, "run.steps").value = "none"
        await until_shown(pilot, "2 changed", "not valid yet")
        await picture.in_all_themes(pilot)
        await pilot.press("escape")
        await until_shown(pilot, "leave without saving?")
        await picture(pilot, "unsaved")


def field(pilot: Pilot[int], key: str) -> Input:
    """The entry for a key, with the cursor in it."""
    entry = next(row for row in pilot.app.screen.query(FieldRow) if row.field.key == key).query_one(Input)
    entry.focus()
    return entry
