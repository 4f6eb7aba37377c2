"""What comes from elsewhere is text on the screen: neither markup nor anything that a terminal obeys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.app import App

from engine.preset.load import load
from engine.runs.directory import RunDir
from engine.runs.home import runs_home
from tests.zotui.app.app_helpers import PRESET, preset_text, until, until_shown
from tests.zotui.scripted_engine import install
from zotui.app.app import ZotuiApp
from zotui.app.cockpit.panes.outcome import Verdict
from zotui.app.start.detail import Detail
from zotui.app.start.run_list import RunList
from zotui.app.state.feed import EngineFeed, RecordsFeed
from zotui.engines.launched import EngineProcess

MARKUP = "[bold]x[@click=app.quit]y[$error]z"
HOSTILE = f"{MARKUP} \x1b[2J\x07\x9b31m"
SIZE = (200, 60)


def assert_plain(app: App[int]) -> None:
    """Nothing but text is on the screen, and none of it does anything."""
    for strip in app.screen._compositor.render_strips():
        for segment in strip:
            assert not [c for c in segment.text if ord(c) < 32 or 127 <= ord(c) < 160], segment
            assert segment.style is None or (segment.style.link is None and "@click" not in segment.style.meta), segment


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], EngineProcess]:
    """Starts an engine with this script, on a run with a hostile name."""
    started: list[EngineProcess] = []

    def engine(body: str) -> EngineProcess:
        script = install(tmp_path, f"bad = {HOSTILE!r}\n{body}")
        monkeypatch.setattr(EngineProcess, "COMMAND", (str(script), "-m", "engine"))
        started.append(EngineProcess(RunDir.create(load("p", preset_text()), HOSTILE, runs_home() / HOSTILE)))
        return started[-1]

    yield engine
    for one in started:
        one.kill()
        one.wait()


SPEAKS = """
say(events.Phase(name=bad, detail=bad))
said = dict.fromkeys(("preset", "model", "runtime", "device", "dtype"), bad)
say(events.Hello(run=str(run.path), name=run.name, steps=9, **said))
for level in ("info", "warning", "error"):
    say(events.Log(level=level, text=f"{level} {bad}"))
say(events.Eval(step=0, split=bad, metrics={"loss": 0.5}, examples=1, seconds=0.1))
say(events.State(state="paused", step=0, reason=bad))
"""


async def test_the_cockpit_shows_what_an_engine_says_as_text(engine: Callable[[str], EngineProcess]) -> None:
    launched = engine(SPEAKS + "while True: time.sleep(1)\n")
    app = ZotuiApp(EngineFeed(launched))
    async with app.run_test(size=SIZE) as pilot:
        await until_shown(pilot, f"warning {MARKUP}", f"error {MARKUP}", f"info {MARKUP}", "paused")
        assert_plain(app)
        await pilot.press("q")  # the question names the run
        await until_shown(pilot, "Keep watching", f"{MARKUP}")
        assert_plain(app)


async def test_the_end_of_a_run_is_told_as_text(engine: Callable[[str], EngineProcess]) -> None:
    launched = engine(
        SPEAKS + "print(f'log {bad}', file=sys.stderr, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    app = ZotuiApp(EngineFeed(launched))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.screen.query_one(Verdict).display)
        await until_shown(pilot, f"log {MARKUP}")
        assert_plain(app)


async def test_a_refusal_is_told_as_text(engine: Callable[[str], EngineProcess]) -> None:
    app = ZotuiApp()
    async with app.run_test(size=SIZE) as pilot:
        launched = engine("say(events.Error(kind='usage', text=f'refused {bad}'))\nsys.exit(2)\n")
        app._open(EngineFeed(launched))
        await until_shown(pilot, f"refused {MARKUP}")
        assert_plain(app)


async def test_the_lists_show_names_and_descriptions_as_text(write_preset: Callable[[str, str], Path]) -> None:
    write_preset(HOSTILE, preset_text(description=MARKUP, model=MARKUP))
    write_preset("invalid", PRESET.format(description="\\u001b[2J", model=MARKUP, steps=1))
    run = RunDir.create(load("p", preset_text()), HOSTILE, runs_home() / f"run {HOSTILE}")
    run.info.update(state="failed", error=f"fault {HOSTILE}")
    app = ZotuiApp()
    async with app.run_test(size=SIZE) as pilot:
        await until_shown(pilot, f"run {MARKUP}", "description: holds a control character")
        for _ in range(2):
            await pilot.press("down")
            await pilot.pause()
            assert_plain(app)
        await until_shown(pilot, MARKUP)
        app.screen.query_one(RunList).focus()
        await until_shown(pilot, f"fault {MARKUP}")
        assert str(app.screen.query_one(Detail)._border_title).startswith(f"run {MARKUP}")
        assert_plain(app)


async def test_a_past_run_is_shown_as_text() -> None:
    run = RunDir.create(load("p", preset_text(model=MARKUP)), HOSTILE, runs_home() / HOSTILE)
    run.info.update(state="failed", error=HOSTILE, device=HOSTILE, runtime=HOSTILE, dtype=HOSTILE)
    app = ZotuiApp(RecordsFeed(run))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.screen.query_one(Verdict).display)
        await until_shown(pilot, MARKUP)
        assert_plain(app)
