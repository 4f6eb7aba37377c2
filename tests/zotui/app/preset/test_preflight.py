"""The preflight: what a run would take, before it is launched; and the column of the start screen."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.runs.directory import all_runs
from tests.zotui.app.app_helpers import preset_text, screen_text, until, until_shown
from zotui.app.app import ZotuiApp
from zotui.app.cockpit.screen import Cockpit
from zotui.app.preset.preflight import Preflight
from zotui.app.start.screen import Start
from zotui.engines.preflight import PreflightEngine

WritePreset = Callable[[str, str], Path]
Script = Callable[..., None]


def gone(pid_file: Path) -> bool:
    """Whether the process has ended whose id is in the file."""
    try:
        os.kill(int(pid_file.read_text()), 0)
    except ProcessLookupError:
        return True
    return False


async def test_the_presets_say_what_they_need_and_whether_they_fit(
    write_preset: WritePreset, preflight_script: Script
) -> None:
    for name in ("alpha", "beta", "gamma"):
        write_preset(name, preset_text(f"About {name}"))
    preflight_script(fits={"beta": "no", "gamma": "unknown"})
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "1.1 GiB  fits", "57 GiB  too big", "unknown", "76 MiB of disk: fits")
        await pilot.press("down")
        await until_shown(pilot, "needs about 57.3 GiB of memory on cpu, 21.0 GiB are free")


async def test_what_was_found_is_shown_and_enter_launches(
    write_preset: WritePreset, script: Script, preflight_script: Script
) -> None:
    write_preset("demo", preset_text(steps=20))
    script(steps=20)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "Reviews")
        await pilot.press("enter")
        await until_shown(
            pilot, "7.1M parameters", "seductive movie", "great  1 token  the right one", "of 21 GiB free on cpu: fits",
            "about 46 s in all", "10,000, train.jsonl has 6,920", "ready: ",
        )  # fmt: skip
        assert all_runs() == []
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Start))
        await pilot.press("enter")
        await until_shown(pilot, "ready: ")
        await pilot.click("#on")
        await until(pilot, lambda: isinstance(app.screen, Cockpit))
        await until_shown(pilot, "● finished")


async def test_what_is_worth_knowing_of_the_data_is_shown_in_full(
    write_preset: WritePreset, preflight_script: Script
) -> None:
    write_preset("demo", preset_text(steps=20))
    many = ", ".join(f"{n} ([class] {n}) 12" for n in range(12))
    preflight_script(notes=[f"task.train: examples of each class: {many}", "the last one"])
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "Reviews")
        await pilot.press("enter")
        await until_shown(
            pilot, "0 ([class] 0) 12, 1 ([class] 1) 12", "11 ([class] 11) 12", "the last one", "seductive"
        )


@pytest.mark.parametrize("key", ["enter", "escape", "ctrl+q"])
async def test_what_is_still_being_found_out_is_ended_first(
    write_preset: WritePreset, script: Script, preflight_script: Script, tmp_path: Path, key: str
) -> None:
    write_preset("demo", preset_text(steps=20))
    pid = tmp_path / "pid"
    preflight_script(hang=True, pid=str(pid))
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "1.1 GiB")
        pid.unlink()
        await pilot.press("enter")
        await until_shown(pilot, "calibrating a few steps")
        assert not gone(pid)
        await pilot.press(key)
        if key == "enter":
            await until(pilot, lambda: isinstance(app.screen, Cockpit))
            assert gone(pid)
    end = time.monotonic() + 240
    while not gone(pid):
        assert time.monotonic() < end, "the preflight outlived the screen that asked"


async def test_a_refusal_is_shown_where_it_can_be_read(write_preset: WritePreset, preflight_script: Script) -> None:
    write_preset("demo", preset_text())
    preflight_script(refuse="task.label: no column 'nope' [red]here[/]")
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "Reviews")
        await pilot.press("enter")
        await until_shown(
            pilot, "task.label: no column 'nope' [red]here[/]", "refused: escape, then n edits the preset"
        )
        await pilot.press("enter")
        await pilot.click("#on")
        await pilot.pause()
        assert isinstance(app.screen, Preflight) and all_runs() == []
        assert "launch" not in [key.description for key in app.screen.query("FooterKey")]


async def test_a_preflight_that_dies_says_so(write_preset: WritePreset, monkeypatch: pytest.MonkeyPatch) -> None:
    write_preset("demo", preset_text())
    monkeypatch.setattr(PreflightEngine, "COMMAND", (sys.executable, "-c", "import sys; sys.exit(7)"))
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "Reviews")
        await pilot.press("enter")
        await until_shown(pilot, "ended with code 7")


async def test_with_the_real_preflight(
    write_preset: WritePreset, monkeypatch: pytest.MonkeyPatch, shared: Path
) -> None:
    data = shared / "data/sst2/validation.jsonl"
    text = preset_text(model=str(shared / "models/tiny-opt"), steps=20)
    keys = f'[model]\nruntime = "training-loop"\ndevice = "cpu"\nmax_length = 200\n[task]\ntrain = "{data}"\n'
    keys += f'validation = "{data}"\ntrain_examples = 50\nvalidation_examples = 20\ntoo_long = "skip"\n'
    model, task = keys.split("[task]\n")
    write_preset("real", text.replace("[model]\n", model).replace("[task]\n", f"[task]\n{task}"))
    monkeypatch.setattr(PreflightEngine, "COMMAND", (sys.executable, "-P", "-m", "engine.preflight"))
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "fits", "891.9k")
        await pilot.press("enter")
        await until_shown(pilot, "OPTForCausalLM", "50 examples to train on, 20 to validate on", "It was")
        await until_shown(pilot, "an estimate, from a few steps", "ready: about ")
        assert "training-loop" in screen_text(app)
