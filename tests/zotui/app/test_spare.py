"""The spare engine that the app keeps: used for what is started, passed over when it is dead, ended with the app."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from engine.preset.load import load
from engine.runs.directory import RunDir
from tests.zotui.app.app_helpers import cockpit, heard, preset_text, status, until, until_shown
from zotui.app.app import ZotuiApp
from zotui.app.preset.preflight import Preflight
from zotui.engines.keeper import SpareKeeper
from zotui.engines.spare import Spare

GIB = 2**30


@pytest.fixture
def memory() -> list[int]:
    """The bytes that are available; the last one counts."""
    return [16 * GIB]


@pytest.fixture
def keeper(memory: list[int], script: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[SpareKeeper]:
    monkeypatch.setattr(Spare, "COMMAND", (sys.executable, str(Path(__file__).with_name("app_scripted_spare.py"))))
    script(hold_at=5, delay=0)
    made = SpareKeeper(lambda: memory[-1])
    yield made
    made.close()


def new_run(name: str) -> RunDir:
    return RunDir.create(load("demo", preset_text(steps=50)), name)


def kept(keeper: SpareKeeper) -> Spare:
    """A spare engine that is at hand."""
    keeper.keep(beside_a_run=False)
    assert keeper.spare is not None
    return keeper.spare


def test_one_is_made_with_memory_to_spare_and_makes_way_when_that_is_short(
    keeper: SpareKeeper, memory: list[int]
) -> None:
    memory.append(5 * GIB)
    keeper.keep(beside_a_run=False)
    assert keeper.spare is None
    memory.append(7 * GIB)
    spare = kept(keeper)
    memory.append(3 * GIB)  # what it took itself is no reason
    assert kept(keeper) is spare
    memory.append(1 * GIB)
    keeper.keep(beside_a_run=False)
    assert keeper.spare is None and not psutil.pid_exists(spare.pid)


def test_beside_a_run_at_work_one_is_made_only_while_a_core_is_idle(
    keeper: SpareKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores = len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "getloadavg", lambda: (cores - 0.5, 0.0, 0.0))
    keeper.keep(beside_a_run=True)
    assert keeper.spare is None
    monkeypatch.setattr(os, "getloadavg", lambda: (cores - 1.0, 0.0, 0.0))
    keeper.keep(beside_a_run=True)
    assert keeper.spare is not None


def test_the_next_one_waits_for_the_start_up(keeper: SpareKeeper) -> None:
    engine = keeper.start(new_run("starting"))
    assert type(next(engine.events())).__name__ == "Hello"
    engine.run.info.update(pid=0)  # as before the real engine's `Hello`
    keeper.keep(beside_a_run=False)
    assert keeper.spare is None
    engine.run.info.update(pid=engine.pid)
    kept(keeper)


async def test_launching_and_resuming_use_it(keeper: SpareKeeper, write_preset: Callable[[str, str], Path]) -> None:
    write_preset("first", preset_text(steps=50))
    app = ZotuiApp(keeper=keeper)
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "first")
        await until(pilot, lambda: keeper.spare is not None, "a spare engine")
        spare = kept(keeper)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Preflight), "the preflight")
        await pilot.press("enter")
        await until(pilot, lambda: app.cockpit is not None and "step 5/" in status(pilot), "steps")
        engine = cockpit(pilot).feed.engine  # type: ignore[attr-defined]
        assert engine.pid == spare.pid
        await pilot.press("s")
        await until(pilot, lambda: "stopped" in status(pilot), "the end")
        assert heard(engine.run.path) == ["Stop"]
        assert "engine log line 19" in engine.run.log_tail(1)[0]
        again = kept(keeper)
        await pilot.press("r")
        await until(pilot, lambda: cockpit(pilot).feed.engine.pid == again.pid, "the next one")  # type: ignore[attr-defined]
        await until(pilot, lambda: "running" in status(pilot), "its steps")


def test_a_dead_one_is_passed_over_and_not_made_again_for_ever(keeper: SpareKeeper) -> None:
    pids = set()
    spare = kept(keeper)
    os.kill(spare.pid, signal.SIGKILL)
    psutil.Process(spare.pid).wait(240)
    engine = keeper.start(new_run("dead"))
    assert engine.pid != spare.pid and not psutil.pid_exists(spare.pid)
    assert type(next(engine.events())).__name__ == "Hello"
    for _ in range(10):
        keeper.keep(beside_a_run=False)
        if keeper.spare is not None:
            pids.add(keeper.spare.pid)
            os.kill(keeper.spare.pid, signal.SIGKILL)
            psutil.Process(keeper.spare.pid).wait(240)
    assert len(pids) == 3


def test_one_that_was_given_another_environment_is_passed_over(
    keeper: SpareKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = kept(keeper)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    engine = keeper.start(new_run("other"))
    assert engine.pid != spare.pid and not psutil.pid_exists(spare.pid)
    assert engine.alive()


async def test_the_configuration_can_do_without(keeper: SpareKeeper, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text("[ui]\nspare_engine = false\n")
    async with ZotuiApp(keeper=keeper).run_test() as pilot:
        await pilot.pause(1.0)  # one would be made half a second after the first screen
        assert keeper.spare is None


def test_the_real_one_ends_with_an_app_that_is_killed() -> None:
    program = "from zotui.engines.spare import Spare; import time; print(Spare().pid, flush=True); time.sleep(60)"
    app = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert app.stdout is not None
    spare = psutil.Process(int(app.stdout.readline()))
    assert os.getsid(spare.pid) == spare.pid
    app.kill()
    app.wait()
    app.stdout.close()
    assert psutil.wait_procs([spare], 240)[1] == []
