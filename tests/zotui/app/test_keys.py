"""Keys: every one is documented and can be changed; what is shown is what works."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.dom import DOMNode

from engine.errors import UserError
from tests.zotui.app.app_helpers import Launch, cockpit, screen_text, status, until, until_shown
from zotui.app import keys
from zotui.app.app import ZotuiApp
from zotui.app.start.screen import Start
from zotui.app.state.feed import EngineFeed


def configure(home: Path, text: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(text)


@pytest.mark.parametrize("kind", keys.nodes(), ids=lambda kind: kind.__qualname__)
def test_every_binding_has_an_id_and_says_what_it_does(kind: type[DOMNode]) -> None:
    for binding in keys.own_bindings(kind):
        where = f"{kind.__module__}: Binding({binding.key!r}, {binding.action!r}, ...)"
        assert binding.id, f"{where} has no id: give it id='where.what', for help, the palette and [keys]"
        assert binding.id.count(".") == 1, f"{where} has the id {binding.id}, which is not where.what"
        assert keys.actions()[binding.id].text, f"{where} says nothing: give it a tooltip, the sentence in help"


def test_there_are_bindings_to_speak_of() -> None:
    assert {"cockpit.pause", "start.resume", "chart.zoom_in", "app.theme"} <= set(keys.actions())


def test_no_two_actions_of_a_place_have_one_key() -> None:
    """As they come; `[keys]` is held to the same."""
    for action in keys.actions().values():
        keys.checked({action.id: ",".join(action.keys)})


@pytest.mark.parametrize(
    ("chosen", "fault"),
    [
        ({"cockpit.paus": "p"}, "keys.cockpit.paus: unknown action; did you mean 'cockpit.pause'?"),
        ({"cockpit.pause": "spcae"}, "keys.cockpit.pause: 'spcae' is no key; did you mean 'space'?"),
        ({"cockpit.pause": "hyperr+p"}, "keys.cockpit.pause: 'hyperr+p' is no key"),
        ({"cockpit.pause": "p,,x"}, "keys.cockpit.pause: '' is no key"),
        ({"cockpit.pause": "c"}, "keys.cockpit.pause: c is the key of cockpit.checkpoint already"),
        ({"cockpit.pause": "x", "cockpit.stop": "x"}, "x is the key of cockpit.pause already"),
        ({"cockpit.pause": "t"}, "keys.cockpit.pause: t is the key of app.theme already"),
        ({"list.up": "q"}, "q is the key of"),
        ({"app.theme": "e"}, "keys.app.theme: e is the key of cockpit.evaluate already"),
        ({"cockpit.pause": "+"}, "keys.cockpit.pause: + is the key of chart.zoom_in already"),
    ],
)
def test_a_wrong_key_is_refused(chosen: dict[str, str], fault: str) -> None:
    with pytest.raises(UserError) as refused:
        keys.checked(chosen)
    assert fault in str(refused.value)


def test_keys_that_do_not_meet_may_be_the_same() -> None:
    assert keys.checked(
        {"cockpit.resume": "f5", "cockpit.pause": "?,ctrl+x", "cockpit.help": "f1", "list.up": "up,k"}
    ) == {
        "cockpit.resume": "f5",
        "cockpit.pause": "question_mark,ctrl+x",
        "cockpit.help": "f1",
        "list.up": "up,k",
    }
    swapped = {"cockpit.checkpoint": "e", "cockpit.evaluate": "c"}
    assert keys.checked(swapped) == swapped


async def test_a_key_of_the_users_works_and_is_shown(home: Path, launch: Launch) -> None:
    configure(home, '[keys]\ncockpit.pause = "k,f8"\ncockpit.checkpoint = "e"\ncockpit.evaluate = "c"\n')
    app = ZotuiApp(EngineFeed(launch(steps=1_000_000)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "k pause", "c evaluate")
        await until(pilot, lambda: cockpit(pilot).run.done > 5)
        await pilot.press("space")
        await pilot.press("k")
        await until(pilot, lambda: status(pilot).startswith("● paused "))
        await until_shown(pilot, "k resume")
        await pilot.press("f8")
        await until(pilot, lambda: status(pilot).startswith("● running"))
        await pilot.press("question_mark")
        await until_shown(pilot, "k or f8", "pause after the step in flight")
        assert "space" not in screen_text(app)


@pytest.mark.parametrize("text", ['[keys]\ncockpit.pause = "c"\n', "[ui]\nthema = 1\n", "[keys]\nstart.x = 'y'\n"])
async def test_a_faulty_configuration_is_said_and_the_app_opens(home: Path, text: str) -> None:
    configure(home, text)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until_shown(pilot, "presets", "keys stay as they come" if "keys" in text else "config.toml is not used")
        assert isinstance(app.screen, Start)
        await pilot.press("q")
    assert app.return_value == 0


async def test_the_theme_is_remembered(home: Path) -> None:
    configure(home, '[ui]\ntheme = "colour-blind-dark"\n')
    async with ZotuiApp().run_test() as pilot:
        await until_shown(pilot, "presets")
        assert pilot.app.theme == "colour-blind-dark"
        await pilot.press("t")
        assert pilot.app.theme == "colour-blind-light"
    async with ZotuiApp().run_test() as pilot:
        await until_shown(pilot, "presets")
        assert pilot.app.theme == "colour-blind-light"


def test_help_names_every_key_once() -> None:
    spelt = [keys.spelt(key) for action in keys.actions().values() for key in action.keys]
    assert {"space", "?", "+", "-", "escape", "f5", "ctrl+p"} <= set(spelt)


def test_nothing_is_animated() -> None:
    assert ZotuiApp().animation_level == "none"
