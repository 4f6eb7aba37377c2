"""New from my file: from a path to a preset, with the engine that looks at the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, Select, TextArea

from engine.preset.load import load_file
from tests import forked
from tests.zotui.app.app_album import Album
from tests.zotui.app.app_helpers import preset_text, screen_text, until, until_shown
from tests.zotui.app.app_story import LOOKS, NARROWEST, clocked
from zotui.app.app import ZotuiApp
from zotui.app.preset.field_row import FieldRow
from zotui.app.preset.form import Form
from zotui.app.preset.own_data.label_table import LabelTable
from zotui.app.preset.own_data.path_row import PathRow
from zotui.app.preset.own_data.screen import OwnData
from zotui.app.preset.own_data.text_row import TextRow
from zotui.app.preset.preflight import Preflight
from zotui.app.start.preset_list import PresetList
from zotui.app.start.screen import Start
from zotui.engines.proposing import MODEL, ProposeEngine
from zotui.home import presets

ROWS = [{"id": i, "review": f"film {i}", "label": i % 2} for i in range(20)]


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with data and a model, in which the app is started."""
    folder = tmp_path / "here"
    (folder / "more").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(ProposeEngine, "COMMAND", (forked.stand_in(), *ProposeEngine.COMMAND[1:]))
    monkeypatch.delenv("LC_ALL")  # with it no engine can be forked
    monkeypatch.setenv("LANG", "C.UTF-8")
    (folder / "reviews.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    (folder / "numbers.csv").write_text("a,b\n1,2\n3,4\n")
    (folder / "notes.txt").write_text("no data")
    (folder / "tiny").symlink_to(shared / "models/tiny-opt")


async def opened(pilot: Pilot[int]) -> OwnData:
    """From the start screen, with the tests' model."""
    await until_shown(pilot, "new from my file")
    await pilot.press("f")
    await until_shown(pilot, "which file?")
    screen = pilot.app.screen
    assert isinstance(screen, OwnData)
    row(screen, "model").query_one(Input).value = "tiny"
    return screen


def row(screen: Screen[Any], name: str) -> PathRow:
    return next(one for one in screen.query(PathRow) if one.field.key == name)


async def entered(pilot: Pilot[int], path: str = "reviews.jsonl") -> OwnData:
    """With a file that was looked at."""
    screen = await opened(pilot)
    await pilot.press(*path)
    await until_shown(pilot, "18 rows to train on, 2 to validate on")
    await pilot.pause()  # what is proposed is there, and hears what is chosen
    return screen


async def test_from_a_file_to_a_preset_that_is_valid_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ZotuiApp().run_test(size=(120, 60)) as pilot:
        screen = await entered(pilot)
        await until_shown(
            pilot, "classification", "{review}", "in the prompt", "the label", "not used", "to check", "film ", "' 1'"
        )
        assert not presets.user_folder().exists()
        table = screen.query_one(LabelTable)
        table.query(Input)[1].focus()
        await pilot.press(*"good")  # the text that is there is selected
        await until_shown(pilot, "' good'")
        assert table.is_attached and table.value == {"0": "0", "1": "good"}  # the cursor stayed where it was
        template = screen.query_one(TextArea)
        template.focus()
        template.text = "{review} It was"
        await until(pilot, lambda: "It was" in screen_text(pilot.app).partition("as the model")[2], "the new prompt")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, Form), "the form")
        await until_shown(pilot, "edit: reviews", "valid")
    monkeypatch.chdir(tmp_path)
    preset = load_file(presets.own_file("reviews"))
    assert preset.task.train == str(tmp_path / "here/reviews.jsonl") and preset.model.path == str(
        tmp_path / "here/tiny"
    )
    assert preset.task.verbalizer == {"0": "0", "1": "good"} and preset.task.template == "{review} It was"
    assert preset.description == "Classification of reviews.jsonl"


async def test_enter_in_its_name_saves_it_and_goes_to_the_preflight(home: Path) -> None:
    presets.save("reviews", preset_text())
    async with ZotuiApp().run_test(size=(120, 60)) as pilot:
        screen = await entered(pilot)
        name = next(one for one in screen.query(FieldRow) if one.field.key == "name").query_one(Input)
        name.focus()
        assert name.placeholder == "reviews-2"
        await pilot.press(*"reviews", "enter")
        await until_shown(pilot, "there is a preset called so already")
        await pilot.press(*"-of-mine", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Preflight), "the preflight")
        await until_shown(pilot, "preflight: reviews-of-mine")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Start), "the start screen")
        assert load_file(presets.own_file("reviews-of-mine")).task.label == "label"


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("review.jsonl", "review.jsonl: no such file; did you mean 'reviews.jsonl'?"),
        ("notes.txt", "notes.txt: unknown kind of file"),
        ("numbers.csv", "nothing can be made of its columns (a, b)"),
    ],
)
async def test_what_cannot_be_used_is_said_at_the_file(path: str, fault: str) -> None:
    async with ZotuiApp().run_test(size=(120, 60)) as pilot:
        screen = await opened(pilot)
        await pilot.press(*path, "enter")
        await until_shown(pilot, fault, "not yet")
        assert row(screen, "file").has_class("-faulty")
        await pilot.press("ctrl+s")
        await until_shown(pilot, fault, "not yet")
        assert isinstance(pilot.app.screen, OwnData) and not presets.user_folder().exists()
        row(screen, "file").query_one(Input).value = "reviews.jsonl"
        await until_shown(pilot, "18 rows to train on")
        assert not row(screen, "file").has_class("-faulty")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Start), "the start screen")
    assert not presets.user_folder().exists()


async def test_a_fault_in_the_prompt_is_said_there_and_the_rows_stay() -> None:
    async with ZotuiApp().run_test(size=(120, 60)) as pilot:
        screen = await entered(pilot)
        screen.query_one(TextArea).text = "{film}"
        await until_shown(pilot, "no column 'film'")
        assert screen.query_one(TextRow).has_class("-faulty") and "film 1" in screen_text(pilot.app)
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert pilot.app.screen is screen and screen.query_one(TextArea).has_focus
        await pilot.press("escape")
        await until_shown(pilot, "leave without saving?")
        await pilot.press("l")
        await until(pilot, lambda: isinstance(pilot.app.screen, Start), "the start screen")
    assert not presets.user_folder().exists()


async def test_another_model_is_heard_when_the_cursor_leaves_it() -> None:
    async with ZotuiApp().run_test(size=(120, 60)) as pilot:
        screen = await entered(pilot)
        model = row(screen, "model").query_one(Input)
        model.focus()
        model.value = "builtin:demo"
        await pilot.press("up")
        await until_shown(pilot, "builtin:demo knows the words of its own data alone")
        assert row(screen, "model").has_class("-faulty")


async def test_another_kind_is_proposed_anew() -> None:
    async with ZotuiApp().run_test(size=(120, 60)) as pilot:
        screen = await entered(pilot)
        kind = screen.query_one(Select)
        kind.value = "text"
        await until_shown(pilot, "learned")
        await until(pilot, lambda: not screen.query(LabelTable), "rows of a text alone")
        assert screen.query_one(TextArea).text == "{review}"
        await pilot.press("ctrl+s")
        await until_shown(pilot, "edit: reviews")
    assert load_file(presets.own_file("reviews")).task.kind == "text"


async def test_it_stands_above_the_presets_and_a_filter_leaves_it_out(
    write_preset: Callable[[str, str], Path],
) -> None:
    write_preset("alpha", preset_text("About alpha", model="tiny"))
    write_preset("beta", preset_text("About beta"))
    async with ZotuiApp().run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "new from my file", "alpha", "beta")
        presets_shown = pilot.app.screen.query_one(PresetList)
        assert presets_shown.chosen and presets_shown.chosen.name == "alpha"
        await pilot.press("slash", *"beta")
        await until(pilot, lambda: "new from my file" not in screen_text(pilot.app), "what the filter finds")
        await pilot.press("down")
        assert presets_shown.chosen and presets_shown.chosen.name == "beta" and presets_shown.highlighted == 0
        await pilot.press("escape")
        await until(pilot, lambda: presets_shown.highlighted == 2, "beta, below the line for a new one")
        await pilot.press("up")
        assert presets_shown.chosen and presets_shown.chosen.name == "alpha"
        await pilot.press("f")
        await until(pilot, lambda: isinstance(pilot.app.screen, OwnData), "a new one by its key")
        assert row(pilot.app.screen, "model").text == "tiny"  # as the preset has it
        await pilot.press("escape", "up", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, OwnData), "a new one by its line")
        assert row(pilot.app.screen, "model").text == MODEL


async def test_the_path_is_completed() -> None:
    async with ZotuiApp().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await until_shown(pilot, "more/", "numbers.csv", "reviews.jsonl")
        assert "notes.txt" not in screen_text(pilot.app)
        await pilot.press("r", "tab")
        await until_shown(pilot, "18 rows to train on")


@pytest.mark.parametrize("look", [*LOOKS, NARROWEST], indirect=True)
async def test_looks_of_own_data(look: tuple[int, int], picture: Album) -> None:
    async with clocked(None).run_test(size=look) as pilot:
        screen = await opened(pilot)
        await until_shown(pilot, "reviews.jsonl")
        await picture(pilot, "file")
        await pilot.press(*"reviews.jsonl")
        await until_shown(pilot, "18 rows to train on")
        await picture.in_all_themes(pilot, "proposed")
        screen.query_one(LabelTable).query(Input)[1].focus()
        await pilot.press(*"good")
        await until(pilot, lambda: "' good'" in str(screen.query_one("#shown Static").render()), "the text of a label")
        await picture(pilot, "labels")
        screen.query_one(TextArea).focus()
        screen.query_one(TextArea).text = "{film}"
        await until(pilot, lambda: screen.query_one(TextRow).has_class("-faulty"), "a fault at the prompt")
        screen.query_one(TextArea).focus()
        await picture.in_all_themes(pilot, "faulty")
