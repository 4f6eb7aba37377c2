"""Tuning in the app: a rate that is found by trials, and put into the form, or not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.runs.directory import all_runs
from tests.zotui.app.app_helpers import preset_text, screen_text, until, until_shown
from zotui.app.app import ZotuiApp
from zotui.app.kit.help import Help
from zotui.app.preset.field_row import FieldRow
from zotui.app.preset.form import Form
from zotui.app.preset.tune import Tune
from zotui.app.start.screen import Start
from zotui.engines.tuning import TuneEngine

WritePreset = Callable[[str, str], Path]
Script = Callable[..., None]

SHORT = """description = "Reviews"
[model]
path = "builtin:demo"
runtime = "training-loop"
device = "cpu"
[task]
name = "demo"
train_examples = 64
validation_examples = 16
[method]
lr = 1e-9   # a guess
[run]
steps = 8
batch_size = 4
"""


@pytest.fixture
def real(made_demo: Path, write_preset: WritePreset, home: Path) -> Path:
    """A home with the demo, made before, and a short preset of it."""
    write_preset("short", SHORT)
    (home / "cache").mkdir()
    for made in (made_demo / "cache").iterdir():
        (home / "cache" / made.name).symlink_to(made)
    return home


def kept(home: Path) -> list[Path]:
    """What a tuner has on the disk: the weights that trials begin with."""
    return list((home / "cache").glob("tune-*"))


def entry(pilot: Pilot[int], key: str) -> Input:
    assert isinstance(pilot.app.screen, Form)
    return next(row for row in pilot.app.screen.query(FieldRow) if row.field.key == key).query_one(Input)


async def on_start(pilot: Pilot[int]) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, Start), "the start screen")
    await until_shown(pilot, "presets", "Reviews")


def engine_of(pilot: Pilot[int]) -> psutil.Process:
    """The tuner that works for the screen."""
    assert isinstance(pilot.app.screen, Tune) and isinstance(pilot.app.screen.engine, TuneEngine)
    return psutil.Process(pilot.app.screen.engine.pid)


async def test_trials_are_shown_as_they_end_and_enter_puts_the_proposal_into_the_form(real: Path) -> None:
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await on_start(pilot)
        app.simulate_key("u")  # as its widgets are replaced with every finding, none of them can be waited for
        await until(pilot, lambda: isinstance(app.screen, Tune), "the tuning")
        await until_shown(pilot, "first rate", "lozo, lr 1e-09")
        await until_shown(pilot, "validation", "1e-09")
        await until_shown(pilot, "<- proposed", "found: enter puts it into the form")
        assert isinstance(app.screen, Tune)
        proposal = app.screen._tuning.proposal
        assert proposal is not None and proposal.lr != 1e-9
        app.simulate_key("enter")
        await until_shown(pilot, "edit: short", "valid")
        assert float(entry(pilot, "method.lr").value) == proposal.lr
        assert isinstance(app.screen, Form)
        assert app.screen.changes["method.lr"] == proposal.lr
        assert set(app.screen.changes) <= {"method.lr", "method.eps"}
    assert not kept(real) and all_runs() == []


@pytest.mark.parametrize(("key", "trials"), [("escape", 1), ("ctrl+q", 0)])
async def test_it_can_be_left_at_any_time_and_leaves_nothing(real: Path, key: str, trials: int) -> None:
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await on_start(pilot)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, Form), "the form")
        await until_shown(pilot, "edit: short")
        app.simulate_key("ctrl+t")
        await until(pilot, lambda: isinstance(app.screen, Tune), "the tuning")
        screen = app.screen
        assert isinstance(screen, Tune)
        await until(pilot, lambda: len(screen._tuning.trials) >= trials and kept(real), "a trial, or its base")
        engine = engine_of(pilot)
        family = [engine, *engine.children(recursive=True)]
        app.simulate_key(key)  # to wait for what it does would be to wait for widgets that go meanwhile
        if key == "escape":
            await until(pilot, lambda: isinstance(app.screen, Form), "the form again")
            assert isinstance(app.screen, Form) and app.screen.changes == {}
            assert not any(map(psutil.Process.is_running, family))
    psutil.wait_procs(family, 240)
    assert not any(map(psutil.Process.is_running, family))
    assert not kept(real)


async def test_the_first_rate_can_be_taken_while_trials_go_on(write_preset: WritePreset, tuning_script: Script) -> None:
    write_preset("demo", preset_text())
    tuning_script(hang=True)
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await on_start(pilot)
        app.simulate_key("u")
        await until_shown(
            pilot, "trial 4, lr 0.0001: step 77  ·  6 trials so far", "lr 0.0002, eps 0.001; slope 1 ± 0.5", "diverged"
        )
        engine = engine_of(pilot)
        await pilot.press("enter")
        assert isinstance(app.screen, Tune), "nothing is proposed yet"
        assert "take it" not in [key.description for key in app.screen.query("FooterKey")]
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help), "the help")
        await until_shown(pilot, "first rate")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Tune), "the tuning again")
        app.simulate_key("f")
        await until(pilot, lambda: isinstance(app.screen, Form), "the form")
        await until_shown(pilot, "1 changed")
        assert entry(pilot, "method.lr").value == "0.0002"
        assert not engine.is_running()


async def test_escape_from_the_list_is_back_at_the_list(write_preset: WritePreset, tuning_script: Script) -> None:
    file = write_preset("demo", preset_text())
    before = file.read_text()
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await on_start(pilot)
        app.simulate_key("u")
        await until_shown(
            pilot, "found: enter puts it into the form", "lr 0.0001, eps 0.001: validation loss 0.6600 to"
        )
        app.simulate_key("escape")
        await on_start(pilot)
        assert [type(screen) for screen in app.screen_stack[1:]] == [Start]
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"refuse": "task.label: no column 'nope' [red]here[/]"}, "refused: escape goes back"),
        ({"die": 7}, "tuning ended with code 7"),
        ({"unknown": True, "hang": True}, "lr unknown, eps 0.001"),
    ],
)
async def test_what_finds_nothing_says_so_and_has_nothing_to_take(
    write_preset: WritePreset, tuning_script: Script, keys: dict[str, object], said: str
) -> None:
    write_preset("demo", preset_text())
    tuning_script(**keys)
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await on_start(pilot)
        app.simulate_key("u")
        await until_shown(pilot, said, *([str(keys["refuse"])] if "refuse" in keys else []))
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Tune)
        assert "take it" not in [key.description for key in app.screen.query("FooterKey")]
        if "unknown" in keys:
            await pilot.press("f")
            assert isinstance(app.screen, Tune)
            assert "first rate" not in [key.description for key in app.screen.query("FooterKey")]


async def test_a_preset_that_is_not_valid_is_not_tuned(write_preset: WritePreset, tuning_script: Script) -> None:
    write_preset("demo", preset_text().replace("steps", "stepz"))
    app = ZotuiApp()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until_shown(pilot, "presets", "faulty")
        app.simulate_key("u")
        await until_shown(pilot, "not valid yet", "stepz")
        assert isinstance(app.screen, Form) and "Tune" not in screen_text(app)
        assert not [child for child in psutil.Process(os.getpid()).children() if "tuning" in " ".join(child.cmdline())]
