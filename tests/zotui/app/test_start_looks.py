"""Snapshots of the start screen's own screens, from what a scripted survey finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from app_helpers import preset_text, until_shown
from test_looks import NOON, SIZES, named
from test_start import past_run
from textual.pilot import Pilot

from zotui import presets
from zotui.app.application import ZotuiApp
from zotui.app.widgets.detail import Detail

SnapCompare = Callable[..., bool]
WritePreset = Callable[[str, str], Path]
SHOWN = Path(presets._CHECKOUT) / "opt-13b-sst2.toml"


@pytest.fixture
def filled(home: Path, write_preset: WritePreset, survey_script: Callable[..., None], monkeypatch: pytest.MonkeyPatch):
    """Presets of all kinds and a stopped run; returns how to wait until they are drawn."""
    monkeypatch.setattr("time.strftime", lambda *_: "20251009-085320")
    monkeypatch.setattr("test_start.time.time", lambda: NOON)
    write_preset("demo", preset_text("Sentiment on a small OPT, minutes on a laptop", steps=450))
    write_preset("opt-13b-sst2", SHOWN.read_text())
    write_preset("llama-local", preset_text("A model that was never downloaded"))
    write_preset("tickets", preset_text().replace("steps", "stepz"))
    past_run("demo", "stopped", 120, 0.611)
    survey_script(fits={"opt-13b-sst2": "no", "llama-local": "unknown"})

    def after(*keys: str, shown: str = "", light: bool = False) -> Callable[[Pilot[int]], Awaitable[None]]:
        async def act(pilot: Pilot[int]) -> None:
            await until_shown(pilot, "10 min", "too big")
            if light:
                await pilot.press("t")
            for key in keys:
                await pilot.press(key)
                await pilot.pause()
            await until_shown(pilot, shown)
            await pilot.pause(0.2)

        return act

    return after


def app() -> ZotuiApp:
    return ZotuiApp(wall=lambda: NOON)


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_start(snap_compare: SnapCompare, filled, size: tuple[int, int]) -> None:
    assert snap_compare(app(), terminal_size=size, run_before=filled())


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_preflight(snap_compare: SnapCompare, filled, size: tuple[int, int]) -> None:
    assert snap_compare(app(), terminal_size=size, run_before=filled("enter", shown="ready"))


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_form(snap_compare: SnapCompare, filled, size: tuple[int, int]) -> None:
    keys = ("down", "down", "n", "down", "x", "y", *["down"] * 6, "2", *["down"] * 3)
    assert snap_compare(app(), terminal_size=size, run_before=filled(*keys, shown="task.name"))


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_deleting(snap_compare: SnapCompare, filled, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Detail, "show_run", lambda *_: None)  # the run's folder is another one each time
    assert snap_compare(app(), terminal_size=size, run_before=filled("tab", "d", shown="Keep it"))


@pytest.mark.parametrize("keys", [(), ("enter",), ("n",)], ids=["start", "preflight", "form"])
def test_light(snap_compare: SnapCompare, filled, keys: tuple[str, ...]) -> None:
    shown = {"enter": "ready", "n": "edit: demo"}.get(keys[0] if keys else "", "too big")
    assert snap_compare(app(), terminal_size=(120, 40), run_before=filled(*keys, shown=shown, light=True))
