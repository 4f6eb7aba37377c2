"""What the tests of the app share: a home of their own and a scripted engine in the real one's place."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot

from engine.preset.load import load
from engine.runs.directory import RunDir
from tests.zotui.app.app_album import Album
from tests.zotui.app.app_helpers import DRAWN, PATIENCE, Launch, preset_text
from tests.zotui.app.app_story import LOOKS, SHOWN
from zotui.app.state.gauges import OwnUse
from zotui.engines.launched import EngineProcess
from zotui.engines.preflight import PreflightEngine
from zotui.engines.tuning import TuneEngine
from zotui.home import presets

SCRIPTED_PREFLIGHT = Path(__file__).with_name("app_scripted_preflight.py")
SCRIPTED_TUNING = Path(__file__).with_name("app_scripted_tuning.py")
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
def preflight_script(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put the scripted preflight in the real one's place, which takes seconds, and say what it finds."""
    monkeypatch.setattr(PreflightEngine, "COMMAND", (sys.executable, str(SCRIPTED_PREFLIGHT)))

    def say(**keys: Any) -> None:
        monkeypatch.setenv("SCRIPTED_PREFLIGHT", json.dumps(keys))

    say()
    return say


@pytest.fixture
def tuning_script(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put the scripted tuning in the real one's place, and say what it finds."""
    monkeypatch.setattr(TuneEngine, "COMMAND", (sys.executable, str(SCRIPTED_TUNING)))

    def say(**keys: Any) -> None:
        monkeypatch.setenv("SCRIPTED_TUNING", json.dumps(keys))

    say()
    return say


@pytest.fixture(autouse=True)
def count_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `until_shown` look at the screen only when there may be something new."""
    display = App._display

    def counted(self: App[int], *given: Any) -> None:
        DRAWN[self] = DRAWN.get(self, 0) + 1
        display(self, *given)

    monkeypatch.setattr(App, "_display", counted)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key press waits for the screen as long as a test waits for anything else, not Textual's half a minute."""
    monkeypatch.setattr(Pilot._wait_for_screen, "__defaults__", (PATIENCE,))


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
def look(request: pytest.FixtureRequest) -> tuple[int, int]:
    """The size of the terminal."""
    width, _, height = request.param.partition("x")
    return int(width), int(height)


@pytest.fixture
def picture(request: pytest.FixtureRequest, tmp_path: Path) -> Album:
    """Compares the screen on top with its picture."""
    return Album(request.node.name, tmp_path, request.config.getoption("--update-pictures"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Function) -> Iterator[None]:
    """A test that has passed has taken every picture that is kept for it."""
    yield
    if "picture" in item.funcargs:
        item.funcargs["picture"].close()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, home: Path) -> RunDir:
    """A run whose folder is called the same on every machine."""
    wanted = load("demo", preset_text(steps=450), ["method.queries=4"])
    created = RunDir.create(wanted, "demo", home / "runs" / "demo-20251009-085320")
    log = [f"INFO worker: line {n} of the engine's log" for n in range(40)]
    monkeypatch.setattr(created, "path", SHOWN / created.name)
    monkeypatch.setattr(created, "log_file", SHOWN / created.name / "engine.log")
    monkeypatch.setattr(created, "log_tail", lambda lines: log[-lines:])
    monkeypatch.setattr(OwnUse, "now", lambda: OwnUse(int(0.09 * 2**30), 0.03))
    monkeypatch.setattr("zotui.app.cockpit.panes.outcome.runs_home", lambda: SHOWN)
    return created
