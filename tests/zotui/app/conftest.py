"""What the tests of the app share: a home of their own and a scripted engine in the real one's place."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot
from textual.widgets import Input

from engine.preset.load import load
from engine.runs.directory import RunDir
from zotui.app.state.gauges import OwnUse
from zotui.engines.launched import EngineProcess
from zotui.engines.preflight import PreflightEngine
from zotui.home import presets

sys.path.insert(0, str(Path(__file__).parent))  # for app_helpers; tests are imported by file

from app_helpers import Launch, preset_text
from app_story import LOOKS, SHOWN, Picture

SCRIPTED_PREFLIGHT = Path(__file__).with_name("app_scripted_survey.py")
SCRIPTED_ENGINE = Path(__file__).with_name("app_scripted_engine.py")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and no presets but those a test writes."""
    builtin = tmp_path / "builtin"
    builtin.mkdir()
    monkeypatch.setenv("ZOTUI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(presets, "builtin_folder", lambda: builtin)
    for name, value in {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}.items():  # whatever runs the tests
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "ZOTUI_ASCII", "TERM_PROGRAM", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def survey_script(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put the scripted survey in the real one's place, which takes seconds, and say what it finds."""
    monkeypatch.setattr(PreflightEngine, "COMMAND", (sys.executable, str(SCRIPTED_PREFLIGHT)))

    def say(**keys: Any) -> None:
        monkeypatch.setenv("SCRIPTED_SURVEY", json.dumps(keys))

    say()
    return say


@pytest.fixture
def write_preset(home: Path) -> Callable[[str, str], Path]:
    """Write a preset into the user's folder."""

    def write(name: str, text: str) -> Path:
        path = home / "presets" / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Put the scripted engine in the real one's place and say what it does; ends what it started."""
    started: list[EngineProcess] = []
    begin = EngineProcess.__init__

    def remember(self: EngineProcess, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        started.append(self)

    monkeypatch.setattr(EngineProcess, "__init__", remember)
    monkeypatch.setattr(EngineProcess, "COMMAND", (sys.executable, str(SCRIPTED_ENGINE)))

    def say(**keys: Any) -> None:
        monkeypatch.setenv("SCRIPTED_ENGINE", json.dumps(keys))

    say()
    yield say
    for engine in started:
        engine.kill()


@pytest.fixture
def launch(script: Callable[..., None]) -> Launch:
    """Start a scripted engine on a new run."""

    def start(name: str = "demo", preset: dict[str, str] | None = None, **keys: Any) -> EngineProcess:
        script(**keys)
        changes = [f"run.{key}={value}" for key, value in (preset or {}).items()]
        chosen = load("demo", preset_text(steps=keys.get("steps", 200)), changes)
        return EngineProcess(RunDir.create(chosen, name))

    return start


@pytest.fixture(params=LOOKS)
def look(request: pytest.FixtureRequest, home: Path) -> tuple[int, int]:
    """The size of the terminal in one of the looks, whose theme the configuration has before the app opens."""
    size, _, theme = request.param.partition("-")
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(f'[ui]\ntheme = "{f"zotui-{theme}" if theme in ("dark", "light") else theme}"\n')
    width, _, height = size.partition("x")
    return int(width), int(height)


@pytest.fixture
def picture(snapshot: SnapshotAssertion, tmp_path: Path) -> Picture:
    """Compares the screen on top with its picture, which is called after the screen's class."""
    pictured = snapshot.use_extension(SVGImageExtension)

    async def take(pilot: Pilot[int], what: str = "") -> None:
        for _ in range(2):  # what is laid out may lay out more
            await pilot.pause()
        screen = pilot.app.screen
        for entry in screen.query(Input):
            if entry.has_focus:
                entry._restart_blink()  # the cursor is there
        screen.refresh()  # what shines through from under a dialog is drawn now and then only
        found = pilot.app.export_screenshot(simplify=True)
        name = "-".join((type(screen).__name__, *([what] if what else [])))
        if pictured(name=name) != found:
            (tmp_path / f"{name}.svg").write_text(found)
            pytest.fail(f"{name} looks different: {tmp_path / name}.svg; if that is right, --snapshot-update keeps it")

    return take


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, home: Path) -> RunDir:
    """A run whose folder is called the same on every machine."""
    created = RunDir.create(load("demo", preset_text(steps=450)), "demo", home / "runs" / "demo-20251009-085320")
    log = [f"INFO worker: line {n} of the engine's log" for n in range(40)]
    monkeypatch.setattr(created, "path", SHOWN / created.name)
    monkeypatch.setattr(created, "log_file", SHOWN / created.name / "engine.log")
    monkeypatch.setattr(created, "log_tail", lambda lines: log[-lines:])
    monkeypatch.setattr(OwnUse, "now", lambda: OwnUse(int(0.09 * 2**30), 0.03))
    monkeypatch.setattr("zotui.app.cockpit.panes.outcome.runs_home", lambda: SHOWN)
    return created
