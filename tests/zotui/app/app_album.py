"""The pictures that a test takes: compared with those that are kept, or kept where that is asked for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from tests.zotui.app.app_contrast import faults
from tests.zotui.app.app_pictures import TextPicture
from zotui.app.themes import LIGHT, THEMES

PICTURES = Path(__file__).with_name("pictures")
"""A folder for every test that takes pictures, with one for each way in which it is called."""

FOR_THE_EYE = "120x40"
"""The size in which a screen is drawn in every theme."""


class Album:
    """The pictures of one test."""

    def __init__(self, test: str, found: Path, update: bool) -> None:
        self._folder = PICTURES / folder_of(test)
        self._found = found  # where what looks different goes
        self._update = update
        self._taken: set[str] = set()  # names of files

    async def __call__(self, pilot: Pilot[int], what: str = "") -> None:
        """Compare what is on the screen with its picture, which is called after the screen's class and `what`."""
        await _settled(pilot)
        found = TextPicture.of(pilot.app)
        kept = self._kept(f"{_name(pilot, what)}.txt", found.to_text())
        if kept is None or (differences := found.differences(TextPicture.from_text(kept))):
            shown = self._found / f"{_name(pilot, what)}.svg"
            shown.write_text(pilot.app.export_screenshot())
            self._fail(shown, *(["it has no picture"] if kept is None else differences))

    async def in_all_themes(self, pilot: Pilot[int], what: str = "") -> None:
        """The same, and at one size: that everything can be told from its background in every theme; and for the eye
        the same screen as an SVG in the light theme."""
        await self(pilot, what)
        app = pilot.app
        if f"{app.size.width}x{app.size.height}" != FOR_THE_EYE:
            return
        usual, before, faint = app.theme, TextPicture.of(app), list[str]()
        for theme in THEMES:
            app.theme = theme.name
            await _settled(pilot)
            faint += faults(app)
            if theme is LIGHT:
                name, found = f"{_name(pilot, what)}.svg", app.export_screenshot(simplify=True)
                if self._kept(name, found) != found:
                    self._fail(self._found / name, f"in {theme.name}")
        app.theme = usual
        await _settled(pilot)
        assert not faint, "\n".join([f"what does not stand out on {_name(pilot, what)}:", *faint])
        assert not TextPicture.of(app).differences(before), "another theme and back is not what it was"

    def close(self) -> None:
        """That every picture kept for the test was taken; called when it has passed."""
        for left in sorted(path for path in self._folder.glob("*.*") if path.name not in self._taken):
            assert self._update, f"the test does not take the picture {left}; --update-pictures deletes it"
            left.unlink()

    def _kept(self, name: str, found: str) -> str | None:
        """What the picture is to be like, if there is one; `found` itself where that is to be kept."""
        assert name not in self._taken, f"there is a {name} already"
        self._taken.add(name)
        (self._found / name).write_text(found)
        kept = self._folder / name
        if self._update:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(found)
        return kept.read_text() if kept.exists() else None

    def _fail(self, shown: Path, *differences: str) -> NoReturn:
        told = f"{self._folder.relative_to(PICTURES) / shown.stem} looks different: {shown}"
        pytest.fail("\n".join([f"{told}; if that is right, --update-pictures keeps it", *differences]), pytrace=False)


def _name(pilot: Pilot[int], what: str) -> str:
    return "-".join([type(pilot.app.screen).__name__, *([what] if what else [])])


def folder_of(test: str) -> str:
    """Where the pictures of a test are, by its name and what it is called with."""
    name, _, given = test.removeprefix("test_").partition("[")
    return "/".join([name, *([re.sub(r"[^\w.-]+", "-", given.removesuffix("]"))] if given else [])])


async def _settled(pilot: Pilot[int]) -> None:
    for _ in range(2):  # what is laid out may lay out more
        await pilot.pause()
    screen = pilot.app.screen
    if isinstance(screen.focused, Input | TextArea):
        screen.focused._restart_blink()  # the cursor is there
    screen.refresh()  # what shines through from under a dialog is drawn now and then only
