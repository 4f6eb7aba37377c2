"""Pictures of what lies over the cockpit: dialogs, help, the palette and the filter of its events."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from engine.preset.load import load
from engine.protocol.commands import AnyCommand, Try
from engine.protocol.events import Answer, State, Tried
from engine.runs.directory import RunDir
from engine.runs.journal import encode_line
from tests.zotui.app.app_album import Album
from tests.zotui.app.app_helpers import cockpit, preset_text, until, until_shown
from tests.zotui.app.app_story import LOOKS, drawn, open_on, story, told
from zotui.app.cockpit.screen import Cockpit
from zotui.app.cockpit.try_it import TryIt
from zotui.app.state.feed import Begun

Size = tuple[int, int]


async def test_over_the_cockpit(run: RunDir, look: Size, picture: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zotui.runs.export_charts.find_spec", lambda name: object())  # whatever is installed
    async with open_on(run, story(run)).run_test(size=look) as pilot:
        await drawn(pilot)
        for key, shown, what in (
            ("question_mark", "write a checkpoint now", ""),
            ("ctrl+p", "pause  (space)", "cockpit"),
            ("y", "Files go into", "one-run"),
            ("q", "Stop and save", "leaving"),
        ):
            await pilot.press(key)
            await until_shown(pilot, shown)
            await picture.in_all_themes(pilot, what)
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(pilot.app.screen, Cockpit), "the cockpit")
        await pilot.press("slash", *"acc")
        await drawn(pilot)
        await picture(pilot, "filtered")


async def test_steering(run: RunDir, look: Size, picture: Album) -> None:
    run.journal_file.write_bytes(b"".join(encode_line({"step": step}) for step in range(320)))
    begun = Begun("demo", run.preset(), 0)  # what the dialog starts from
    async with open_on(run, [begun, *story(run)]).run_test(size=look) as pilot:
        await drawn(pilot)
        for key, value, shown, what in (
            ("l", "3e-7", "changed: lr", "change"),
            ("f", "400", "can be forked after", "fork"),
        ):
            await pilot.press(key)
            await until(pilot, lambda: pilot.app.screen.query(Input), "the dialog")
            pilot.app.screen.query(Input).first().value = value
            await until_shown(pilot, shown)
            take = picture.in_all_themes if what == "change" else picture  # the two have the same styles
            await take(pilot, what)
            await pilot.press("escape")
        await pilot.press("p")
        await until(pilot, lambda: isinstance(pilot.app.screen, TryIt), "the pane")
        pilot.app.screen._whom.send = lambda command: answer(command, cockpit(pilot))
        pilot.app.screen.query(Input).first().value = "moving and funny . It was"
        await pilot.press("enter", "ctrl+e")
        await until_shown(pilot, "the the the", "92.4%", "right")
        await picture.in_all_themes(pilot)


def answer(command: AnyCommand, watching: Cockpit) -> bool:
    """What an engine says to a prompt, and to an example."""
    assert isinstance(command, Try)
    told = {"id": command.id, "step": 320}
    if command.example is not None:
        review = "a film of rare grace that never lets its three leads down . It was"
        now, base = Answer(probabilities=[0.076, 0.924]), Answer(probabilities=[0.481, 0.519])
        tried = Tried(prompt=review, options=["terrible", "great"], label=1, now=now, base=base, **told)
    else:
        now, base = Answer(text=" a joy from start to end"), Answer(text=" the the the")
        tried = Tried(prompt=command.prompt, now=now, base=base, **told)
    watching.run.tried.append(tried)
    return True


@pytest.mark.parametrize("look", LOOKS[:1], indirect=True)
@pytest.mark.parametrize("way", ["stop", "saving"])
async def test_leaving(run: RunDir, look: Size, picture: Album, way: str) -> None:
    if way == "stop":
        run.preset_file.write_text(load("demo", preset_text(), ["run.when_app_leaves=stop"]).to_toml())
    async with open_on(run, story(run)).run_test(size=look) as pilot:
        await drawn(pilot)
        if way == "saving":
            await told(pilot, [State(state="stopping", step=320)])
        await pilot.press("q")
        await until_shown(pilot, "Keep wa")
        await picture(pilot, way)
