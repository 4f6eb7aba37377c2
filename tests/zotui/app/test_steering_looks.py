"""Snapshots of the dialogs that steer a run, and of what is tried."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from app_helpers import cockpit, until, until_shown
from test_looks import drawn, named, open_on, story
from test_looks import run as run  # the fixture
from textual.pilot import Pilot
from textual.widgets import Input

from engine.journal import append
from engine.messages import Answer, AnyCommand, Tried, Try
from engine.rundir import RunDir
from zotui.app.screens.try_it import TryIt

SIZES = [(80, 24), (120, 40), (200, 60)]
SnapCompare = Callable[..., bool]


@pytest.fixture(params=["dark", "light"])
def theme(request: pytest.FixtureRequest, home: Path) -> str:
    """Chosen before the app opens."""
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(f'[ui]\ntheme = "zotui-{request.param}"\n')
    return str(request.param)


async def opened(pilot: Pilot[int], key: str) -> None:
    """The cockpit with what a key opens over it."""
    await drawn(pilot)
    await until_shown(pilot, "08:53:20")
    await pilot.press(key)


async def settled(pilot: Pilot[int]) -> None:
    """The dialog alone: what shines through from under it is drawn now and then only."""
    pilot.app.screen.styles.background = pilot.app.current_theme.background
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_change(snap_compare: SnapCompare, run: RunDir, size: tuple[int, int], theme: str) -> None:
    async def typed(pilot: Pilot[int]) -> None:
        await opened(pilot, "l")
        await until_shown(pilot, "nothing is changed yet")
        pilot.app.screen.query(Input).first().value = "3e-7"
        await until_shown(pilot, "changed: lr")
        await settled(pilot)

    assert snap_compare(open_on(run, story(run)), terminal_size=size, run_before=typed)


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_fork(snap_compare: SnapCompare, run: RunDir, size: tuple[int, int], theme: str) -> None:
    for step in range(320):
        append(run.journal_file, {"step": step})

    async def refused(pilot: Pilot[int]) -> None:
        await opened(pilot, "f")
        await until_shown(pilot, "after step")
        pilot.app.screen.query(Input).first().value = "400"
        await until_shown(pilot, "can be forked after")
        await settled(pilot)

    assert snap_compare(open_on(run, story(run)), terminal_size=size, run_before=refused)


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_try(snap_compare: SnapCompare, run: RunDir, size: tuple[int, int], theme: str) -> None:
    async def asked(pilot: Pilot[int]) -> None:
        await opened(pilot, "p")
        await until(pilot, lambda: isinstance(pilot.app.screen, TryIt), "the pane")

        def answer(command: AnyCommand) -> bool:
            assert isinstance(command, Try)
            told = {"id": command.id, "step": 320}
            if command.example is not None:
                review = "a film of rare grace that never lets its three leads down . It was"
                now, base = Answer(probabilities=[0.076, 0.924]), Answer(probabilities=[0.481, 0.519])
                tried = Tried(prompt=review, options=["terrible", "great"], label=1, now=now, base=base, **told)
            else:
                now, base = Answer(text=" a joy from start to end"), Answer(text=" the the the")
                tried = Tried(prompt=command.prompt, now=now, base=base, **told)
            cockpit(pilot).run.tried.append(tried)
            return True

        pilot.app.screen._send = answer
        pilot.app.screen.query(Input).first().value = "moving and funny . It was"
        await pilot.press("enter")
        await until_shown(pilot, "the the the")
        await pilot.press("ctrl+e")
        await until_shown(pilot, "92.4%", "right")
        await settled(pilot)

    assert snap_compare(open_on(run, story(run)), terminal_size=size, run_before=asked)
