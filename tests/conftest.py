"""Fixtures that every test may use, where its processes come from, and what is told at the end."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.environment import prepare
from tests import forked
from tests.live_engine import STARTED, Engine

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
STARTS = "ZOTUI_TEST_STARTS"  # names the file to which every engine and command line adds a line

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two tests run at a time
prepare()  # before any test imports transformers


def pytest_configure(config: pytest.Config) -> None:
    """Make what the processes of all workers share: the place of the fork server, and the count of starts."""
    config.addinivalue_line("markers", "fresh: every engine and command line of this test is started, none forked")
    if hasattr(config, "workerinput"):
        return
    folder = tempfile.mkdtemp(prefix="zotui-tests-")
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests/starts"), str(ROOT), *([path] if path else [])])
    os.environ[STARTS] = f"{folder}/starts"
    os.environ[forked.FOLDER] = folder
    forked.make_folder(folder)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Here, for pytest asks no conftest further down which flags there are."""
    parser.addoption("--update-pictures", action="store_true", help="keep the app's pictures as they are drawn now")


def pytest_unconfigure(config: pytest.Config) -> None:
    """The fork server ends by itself, with this process."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(forked.FOLDER), ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many processes were started, by what they ran: the dearest thing that a test can do."""
    counted = Path(os.environ[STARTS])
    if not counted.exists():
        return
    lines = [line.split() for line in counted.read_text().splitlines()]
    starts = Counter((how, module) for how, module, *_ in lines)
    terminalreporter.section("starts")
    for module in sorted({module for _, module in starts}):
        fresh, forks = starts["fresh", module], starts["forked", module]
        seconds = sum(float(line[2]) for line in lines if line[:2] == ["forked", module])
        terminalreporter.line(
            f"python -m {module}: {fresh} fresh, {forks} forked (which took {seconds:.0f} s of processor time)"
        )


_MANY = 200  # modules
_frozen = 0  # how many there were when the collector was last told that they stay
_freeze = gc.freeze


def pytest_runtest_setup() -> None:
    """What has been imported stays: the collector need not go through it again and again.

    That took the app a tenth of its time, and vLLM most of it, which collects twice when it is closed. vLLM freezes
    and thaws for itself, as if there were nothing else in its process: here it does not.
    """
    global _frozen
    gc.freeze = gc.unfreeze = lambda: None
    if len(sys.modules) > _frozen + _MANY:
        _frozen = len(sys.modules)
        gc.collect()
        _freeze()
        gc.set_threshold(20_000)


@pytest.fixture(autouse=True, scope="module")
def _environment_of_a_module() -> Iterator[None]:
    """As below, with what a module's own fixtures leave there: it would be in the environment of all tests after it."""
    yield from _environment_kept()


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """What a test leaves in the environment goes with it: vLLM within this process writes there, LD_PRELOAD even."""
    yield from _environment_kept()


def _environment_kept() -> Iterator[None]:
    before = dict(os.environ)
    yield
    if os.environ != before:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(autouse=True)
def _engines_end() -> Iterator[None]:
    """With their test, whatever came of it."""
    yield
    while STARTED:
        engine = STARTED.pop()
        engine.process.kill()
        engine.process.wait()


@pytest.fixture(autouse=True)
def _fresh(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("fresh"):
        monkeypatch.delenv(forked.FOLDER)


Make = Callable[[Path], object]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[str, Make], Path]:
    """A folder that is made by the first worker who needs it, for all of them; what `make` returns is kept as JSON."""
    base = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        base = base.parent

    def once(name: str, make: Make) -> Path:
        folder = base / name
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "made.json").exists():
                folder.mkdir()
                (folder / "made.json").write_text(json.dumps(make(folder)))
        return folder

    return once


@pytest.fixture(scope="session")
def made_demo(once: Callable[[str, Make], Path]) -> Path:
    """A folder to be a ZOTUI_HOME, where an engine has made the built-in demo; made.json has what it said meanwhile."""

    def make(folder: Path) -> list[tuple[str, float | None]]:
        from engine.preset.load import load
        from engine.protocol.events import Phase
        from engine.runs.directory import RunDir

        settings = ["model.runtime=training-loop", "run.steps=1", "task.validation_examples=2"]
        wanted = load("demo", '[model]\npath = "builtin:demo"\n[task]\nname = "demo"\n', settings)
        engine = Engine(RunDir.create(wanted, "demo", folder / "first"), environment={"ZOTUI_HOME": str(folder)})
        code = engine.finish()
        assert code == 0, engine.run.log_tail()
        return [(said.detail, said.progress) for said in engine.of(Phase) if said.name == "preparing the demo"]

    return once("demo", make)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data and small models beside the checkout; tests that need them skip where they are not."""
    if not (SHARED / "models").is_dir():
        pytest.skip(f"needs the shared models and data, which are not at {SHARED}")
    return SHARED


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ZOTUI_HOME."""
    folder = tmp_path / "home"
    monkeypatch.setenv("ZOTUI_HOME", str(folder))
    return folder
