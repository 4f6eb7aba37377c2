"""`p` on a run that is over: an engine of its own answers, and ends with the pane."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from textual.pilot import Pilot

from tests.zotui.app.app_helpers import cockpit, past_run, until, until_shown
from zotui.app.app import ZotuiApp
from zotui.app.cockpit.try_it import TryIt
from zotui.app.state.feed import RecordsFeed
from zotui.engines.trying import TryEngine

SCRIPTED = Path(__file__).parents[1] / "app_scripted_trying.py"


@pytest.fixture
def trying(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put the scripted engine in the real one's place and say what it does."""
    monkeypatch.setattr(TryEngine, "COMMAND", (sys.executable, str(SCRIPTED)))
    return lambda **keys: monkeypatch.setenv("SCRIPTED_TRYING", json.dumps(keys))


async def open_pane(pilot: Pilot[int]) -> None:
    await until(pilot, lambda: cockpit(pilot).run.outcome, "the end")
    await pilot.press("p")
    await until(pilot, lambda: isinstance(pilot.app.screen, TryIt), "the pane")


async def test_either_state_answers_and_no_engine_is_left(
    home: Path, tmp_path: Path, trying: Callable[..., Any]
) -> None:
    hold, pids = tmp_path / "hold", tmp_path / "pids"
    trying(hold=str(hold), pid=str(pids))
    app = ZotuiApp(RecordsFeed(past_run("demo", "finished", 200)))
    async with app.run_test(size=(120, 40)) as pilot:
        await open_pane(pilot)
        await until_shown(pilot, "the last state: 40% loading model")
        await pilot.press(*"It was ", "enter")
        await until_shown(pilot, "asked: answered as soon as")
        hold.touch()
        await until_shown(pilot, "step 200  It was", "a joy from start to end", "ctrl+b the best state")
        await pilot.press("ctrl+b", "ctrl+e")
        await until_shown(pilot, "step 120  held-out review 0", "87.5%", "ctrl+b the last state", "step 200  It was")
        first, second = map(int, pids.read_text().split())
        assert not psutil.pid_exists(first)
        await pilot.press("escape")
        await until(pilot, lambda: not psutil.pid_exists(second), "the end of the engine")
        assert pilot.app.screen is cockpit(pilot)


async def test_a_refusal_is_told_and_the_other_state_can_be_asked(home: Path, trying: Callable[..., Any]) -> None:
    trying(refuse="model.path: models/gone: no such folder")
    app = ZotuiApp(RecordsFeed(past_run("demo", "stopped", 200)))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_pane(pilot)
        await until_shown(pilot, "models/gone: no such folder")
        trying()
        await pilot.press("ctrl+b", "ctrl+e")
        await until_shown(pilot, "held-out review 0", "right")
