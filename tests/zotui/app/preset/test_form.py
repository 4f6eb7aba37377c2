"""The form: every key of a preset, checked as it is typed, saved with its comments, run from there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Select, Switch

from engine.preset.load import keys, load_file
from engine.preset.schema import Preset
from engine.runs.directory import all_runs
from tests.zotui.app.app_helpers import cockpit, past_run, preset_text, screen_text, until, until_shown
from zotui.app.app import ZotuiApp
from zotui.app.cockpit.screen import Cockpit
from zotui.app.kit.help import Help
from zotui.app.preset.ask_name import AskName
from zotui.app.preset.field_row import FieldRow
from zotui.app.preset.form import Form
from zotui.app.start.screen import Start
from zotui.home import presets

WritePreset = Callable[[str, str], Path]

COMMENTED = """# About it all.
description = "Reviews"  # one line
[model]
path = "builtin:demo"    # where it is
# max_length = 256       # in tokens
[task]
name = "sst2"
[run]
steps = 20               # how many
"""


def field(pilot: Pilot[int], key: str) -> FieldRow:
    return next(row for row in pilot.app.screen.query(FieldRow) if row.field.key == key)


async def opened(pilot: Pilot[int]) -> None:
    await until_shown(pilot, "presets", "Reviews")
    await pilot.press("n")
    await until(
        pilot, lambda: isinstance(pilot.app.screen, Form) and len(pilot.app.screen.query(FieldRow)) == len(keys())
    )
    await until_shown(pilot, "edit: ")


async def fill(pilot: Pilot[int], key: str, text: str) -> None:
    """Type into a field in place of what is there."""
    entry = field(pilot, key).query_one(Input)
    entry.focus()
    entry.value = ""
    await pilot.pause()
    await pilot.press(*text)
    await pilot.pause()


async def test_a_fault_is_shown_at_its_field_as_it_is_typed(write_preset: WritePreset) -> None:
    write_preset("demo", COMMENTED)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot)
        await until_shown(pilot, "valid")
        await fill(pilot, "method.rank", "9999")
        await until_shown(pilot, "less than or equal to 512", "not valid yet", "Rank r of a direction", "at most 512")
        assert field(pilot, "method.rank").has_class("-faulty")
        await pilot.press("ctrl+r")
        assert isinstance(app.screen, Form) and all_runs() == []
        await pilot.press("ctrl+s")
        assert isinstance(app.screen, Form)
        await fill(pilot, "method.rank", "4")
        await until_shown(pilot, "1 changed", "valid", "●")
        assert not app.screen.query(".-faulty")


async def test_all_of_it_is_checked_once_when_it_opens_and_once_for_what_is_entered(
    write_preset: WritePreset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every widget posts what it begins with: a check of all fields for each of them took seconds."""
    checks, check = 0, Form._check

    def counted(form: Form) -> Preset | None:
        nonlocal checks
        checks += 1
        return check(form)

    monkeypatch.setattr(Form, "_check", counted)
    write_preset("demo", COMMENTED)
    async with ZotuiApp().run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await until_shown(pilot, "valid")
        await pilot.pause()
        assert checks == 1
        field(pilot, "run.steps").query_one(Input).focus()
        await pilot.press("1", "2")
        await pilot.pause()
        assert checks == 3


async def test_what_another_method_took_away_counts_when_it_is_entered_again(write_preset: WritePreset) -> None:
    write_preset("demo", COMMENTED)
    async with ZotuiApp().run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        for method in ("mezo-lora", "lozo-m"):
            field(pilot, "method.rank").enter(3)
            await until_shown(pilot, "changed")
            await pilot.pause()
            assert isinstance(pilot.app.screen, Form) and pilot.app.screen.changes["method.rank"] == 3
            assert field(pilot, "method.rank").has_class("-changed")
            field(pilot, "method.name").query_one(Select).value = method
            await until(pilot, lambda: not field(pilot, "method.rank").has_class("-changed"), "the method's own rank")


async def test_saving_keeps_the_comments_and_asks_before_it_replaces(write_preset: WritePreset) -> None:
    source = write_preset("demo", COMMENTED)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await fill(pilot, "model.max_length", "64")
        await fill(pilot, "task.verbalizer", '{ 0 = "bad", 1 = "good" }')
        await pilot.press("ctrl+s")
        await until_shown(pilot, "save as a preset of your own")
        await pilot.press("enter")
        await until_shown(pilot, "there is one already")
        await pilot.press("escape")
        assert source.read_text() == COMMENTED
        await pilot.press("ctrl+s")
        await until_shown(pilot, "save as a preset of your own")
        await pilot.press(*"demo-2", "enter")  # the old name is selected, and goes
        await until_shown(pilot, "edit: demo-2")
        made = source.with_name("demo-2.toml")
        expected = COMMENTED.replace("# in tokens\n", "# in tokens\nmax_length = 64\n").replace(
            'name = "sst2"\n', 'name = "sst2"\nverbalizer = {0 = "bad", 1 = "good"}\n'
        )
        assert made.read_text() == expected
        assert load_file(made).task.verbalizer == {"0": "bad", "1": "good"}
        await pilot.press("escape")  # nothing is unsaved
        await until_shown(pilot, "presets", "demo-2")


async def test_a_path_is_saved_whole_and_the_list_says_when_nothing_is_there(
    write_preset: WritePreset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    data = tmp_path / "here" / "own.jsonl"
    data.write_text('{"sentence": "a", "label": 0}\n')
    write_preset("demo", COMMENTED)
    async with ZotuiApp().run_test(size=(160, 40)) as pilot:
        await opened(pilot)
        await fill(pilot, "task.train", "own.jsonl")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "save as a preset of your own")
        await pilot.press(*"own", "enter")
        await until_shown(pilot, "edit: own")
        assert field(pilot, "task.train").value == str(data) and not pilot.app.screen.query(".-changed")
        monkeypatch.chdir(tmp_path)
        assert load_file(presets.own_file("own")).task.train == str(data)
        data.unlink()
        await pilot.press("escape")
        await until_shown(pilot, "missing", "own.jsonl is not there")


async def test_a_name_that_is_none_is_said_where_it_is_typed(write_preset: WritePreset) -> None:
    write_preset("demo", COMMENTED)
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await fill(pilot, "run.steps", "7")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "save as a preset of your own")
        await pilot.press(*"a/b")
        await until_shown(pilot, "a/b: not a name for a preset")
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, AskName)
        await pilot.press("backspace", "backspace", "c")
        await until_shown(pilot, "presets/ac.toml")
        await pilot.press("enter")
        await until_shown(pilot, "edit: ac")


async def test_a_preset_that_comes_with_zotui_is_copied_and_only_shadowed_when_asked(home: Path) -> None:
    builtin = presets.builtin_folder() / "demo.toml"
    builtin.write_text(COMMENTED)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("ctrl+s")
        await until_shown(pilot, "presets/my-demo.toml")
        await pilot.press(*"demo", "enter")
        await until_shown(pilot, "there is one already", "demo comes with zotui")
        await pilot.press("escape")
        assert not presets.own_file("demo").exists()
        await pilot.press("ctrl+s", "enter")
        await until_shown(pilot, "edit: my-demo")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "presets/my-demo.toml")  # one's own is saved again under its name
    assert presets.own_file("my-demo").read_text() == builtin.read_text() == COMMENTED


@pytest.mark.parametrize(("keys", "text"), [(["n", "f1"], "A key that is not as it was"), (["enter", "question_mark"],
                                             "exactly as the model gets it")])  # fmt: skip
async def test_form_and_preflight_have_help(write_preset: WritePreset, keys: list[str], text: str) -> None:
    write_preset("demo", COMMENTED)
    app = ZotuiApp()
    async with app.run_test(size=(120, 60)) as pilot:
        await until_shown(pilot, "presets", "Reviews")
        screen = app.screen
        await pilot.press(keys[0])
        await until(pilot, lambda: app.screen is not screen)
        await pilot.press(keys[1])
        await until_shown(pilot, "Keys", text)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Help))


async def test_choices_and_switches(write_preset: WritePreset) -> None:
    source = write_preset("demo", COMMENTED)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        field(pilot, "model.dtype").query_one(Select).focus()
        await pilot.press("enter", "down", "enter")
        await pilot.pause()
        assert field(pilot, "model.dtype").value == "float32"
        field(pilot, "run.checkpoint_best").query_one(Switch).focus()
        await pilot.press("space")
        await until_shown(pilot, "2 changed")
        await pilot.press("space")
        await until_shown(pilot, "1 changed")  # back to the default, which the file need not say
        await pilot.press("ctrl+s")
        await until_shown(pilot, "save as a preset of your own")
        await pilot.press(*"demox", "enter")
        await until_shown(pilot, "edit: demox")
        assert 'dtype = "float32"' in source.with_name("demox.toml").read_text()
        assert "checkpoint_best" not in source.with_name("demox.toml").read_text()


async def test_leaving_with_changes_asks(write_preset: WritePreset) -> None:
    write_preset("demo", COMMENTED)
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await fill(pilot, "run.steps", "7")
        await pilot.press("escape")
        await until_shown(pilot, "leave without saving?")
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, Form))
        await pilot.press("escape", "l")
        await until(pilot, lambda: isinstance(app.screen, Start))


async def test_what_was_edited_is_run_through_the_preflight(
    write_preset: WritePreset, script: Callable[..., None]
) -> None:
    source = write_preset("demo", COMMENTED)
    script(steps=5)
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await fill(pilot, "run.steps", "5")
        await pilot.press("ctrl+r")
        await until_shown(pilot, "preflight: demo", "5 steps")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Cockpit))
        assert cockpit(pilot).feed.run.preset().run.steps == 5
        await until_shown(pilot, "● finished")
    assert source.read_text() == COMMENTED


async def test_a_faulty_preset_can_be_mended_and_a_runs_preset_be_run_again(write_preset: WritePreset) -> None:
    write_preset("demo", COMMENTED.replace("steps = 20", "steps = 0"))
    past_run("old", "finished", 200)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "run.steps", "old-")
        await pilot.press("n")
        await until_shown(pilot, "edit: demo", "not valid yet")
        assert field(pilot, "run.steps").has_class("-faulty")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Start))
        await pilot.press("tab", "n")
        await until_shown(pilot, "edit: old")
        assert field(pilot, "run.steps").query_one(Input).value == "200"


async def test_the_arrows_move_between_fields_and_markup_is_text(write_preset: WritePreset) -> None:
    write_preset("demo", preset_text("[red]x[/]", steps=3))
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "[red]x[/]")
        await pilot.press("n")
        await until_shown(pilot, "edit: demo", "One line for the list")
        await pilot.press("down", "down")
        await until_shown(pilot, "Precision of the weights")
        await pilot.press("up")
        await until_shown(pilot, "Folder of a model")
        assert "[red]x[/]" in screen_text(app)


async def test_another_method_brings_its_settings_and_only_its_knobs_are_shown(write_preset: WritePreset) -> None:
    write_preset("demo", COMMENTED.replace("[run]", "[method]\nlr = 3e-6\nrank = 4\n[run]"))
    app = ZotuiApp()
    async with app.run_test(size=(120, 60)) as pilot:
        await opened(pilot)
        await until_shown(pilot, "valid")
        assert not field(pilot, "method.alpha").display and not field(pilot, "method.momentum").display
        field(pilot, "method.name").query_one(Select).value = "lozo-m"
        await until(pilot, lambda: field(pilot, "method.momentum").display, "the knobs of momentum")
        assert field(pilot, "method.lr").value is None and field(pilot, "method.rank").value is None
        assert field(pilot, "method.update").shown == "momentum" and field(pilot, "method.carry").shown == "project"
        assert field(pilot, "method.rank").query_one(Input).placeholder == "4"
        field(pilot, "method.lr").query_one(Input).focus()
        await until_shown(pilot, "searched for lozo-m from 1e-07 to 1e-06")
        form = app.screen
        assert isinstance(form, Form)
        preset = form._check()
        assert preset is not None and (preset.method.name, preset.method.lr) == ("lozo-m", 1e-6)
        assert set(form.changes) == {"method.name", "method.lr", "method.rank"}
        field(pilot, "method.name").query_one(Select).value = "lozo"  # as the file has it
        await until(pilot, lambda: not field(pilot, "method.momentum").display, "its own knobs")
        assert form.changes == {} and field(pilot, "method.lr").value == 3e-6
