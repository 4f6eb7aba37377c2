"""The user's configuration: read, explained, and the theme remembered."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.errors import UserError
from engine.preset.load import load
from zotui.cli import app
from zotui.home import config

PRESET = '[model]\npath = "m"\n[task]\nname = "sst2"\n'


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOTUI_HOME", str(tmp_path / "home"))


def write(text: str) -> Path:
    config.file().parent.mkdir(parents=True, exist_ok=True)
    config.file().write_text(text)
    return config.file()


def test_without_a_file_everything_is_as_it_comes() -> None:
    chosen = config.read()
    assert (chosen.ui.theme, chosen.ui.ascii, chosen.keys) == ("zotui-dark", "auto", {})
    assert (chosen.notify.on, chosen.notify.bell) == (["finished", "failed"], True)
    assert (chosen.notify.desktop, chosen.notify.command) == (False, [])


def test_every_section_is_read() -> None:
    write(
        '[ui]\ntheme = "colour-blind-light"\nascii = true\n[keys]\ncockpit.pause = "p"\n"start.quit" = "x,f10"\n'
        '[notify]\non = ["best"]\nbell = false\ncommand = "say \'well done\' now"\n'
    )
    chosen = config.read()
    assert (chosen.ui.theme, chosen.ui.ascii) == ("colour-blind-light", True)
    assert chosen.keys == {"cockpit.pause": "p", "start.quit": "x,f10"}
    assert (chosen.notify.on, chosen.notify.bell) == (["best"], False)
    assert chosen.notify.command == ["say", "well done", "now"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[ui]\nthema = 1", "ui.thema: unknown key; did you mean 'ui.theme'?"),
        ("[notifi]\nbell = true", "notifi: unknown key; did you mean 'notify'?"),
        ('[ui]\ntheme = "zotui-drak"', "ui.theme: input should be 'zotui-dark', 'zotui-light', 'colour-blind-dark'"),
        ('[ui]\nascii = "yes"', "ui.ascii: input should be 'auto', True or False, not 'yes'"),
        ('[notify]\ncommand = "say \'hi"', "notify.command: cannot be split into words: No closing quotation"),
        ('[notify]\non = ["end"]', "notify.on.0: input should be 'finished', 'failed' or 'best', not 'end'"),
        ("[keys]\ncockpit.pause = 1", "keys.cockpit.pause: input should be a valid string, not 1"),
        ("[ui", "not valid TOML"),
    ],
)
def test_a_fault_is_one_line_that_names_it(text: str, fault: str) -> None:
    path = write(text)
    with pytest.raises(UserError) as refused:
        config.read()
    assert str(refused.value).startswith(f"{path}: ")
    assert fault in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_theme_is_remembered_and_the_rest_stays() -> None:
    path = write(
        '# mine\n[ui]\ntheme = "zotui-dark"  # at night\nascii = false\n\n[keys] # habits\ncockpit.pause = "p"\n'
    )
    config.remember_theme("zotui-light")
    assert path.read_text() == (
        '# mine\n[ui]\ntheme = "zotui-light"  # at night\nascii = false\n\n[keys] # habits\ncockpit.pause = "p"\n'
    )


def test_the_theme_is_remembered_where_there_was_no_file() -> None:
    config.remember_theme("colour-blind-dark")
    assert config.read().ui.theme == "colour-blind-dark"
    assert list(config.file().parent.iterdir()) == [config.file()]


def test_a_faulty_file_is_not_written_to() -> None:
    path = write("[ui]\nthema = 1\n")
    with pytest.raises(UserError, match="thema"):
        config.remember_theme("zotui-light")
    assert path.read_text() == "[ui]\nthema = 1\n"


def test_what_is_described_is_a_configuration_itself() -> None:
    write('[ui]\nascii = true\n[keys]\ncockpit.pause = "k"\n[notify]\ncommand = "a \'b c\'"\n')
    keys = {"cockpit.pause": ("space", "pause, or go on"), "chart.left": ("left", "pan")}
    text = config.describe(config.read(), keys)
    assert tomllib.loads(text) == {
        "ui": {"ascii": True},
        "notify": {"command": ["a", "b c"]},
        "keys": {"cockpit": {"pause": "k"}},
    }
    everything = "\n".join(
        line.removeprefix("# ") if " = " in line and line[2:].split(" = ")[0].replace(".", "").isidentifier() else line
        for line in text.splitlines()
    )
    write(everything)
    assert config.read().keys == {"cockpit.pause": "k", "chart.left": "left"}
    for name in ("theme", "ascii", "spare_engine", "on", "bell", "desktop", "command"):
        assert f"\n{name} = " in everything


@pytest.mark.parametrize("key", ["notify.command", "notify.bell", "ui.theme", "keys"])
def test_no_preset_can_say_what_the_configuration_does(key: str) -> None:
    with pytest.raises(UserError, match="unknown key"):
        load("p", PRESET, [f"{key}=touch /tmp/x"])
    section, _, name = key.partition(".")
    with pytest.raises(UserError, match=f"{section}: unknown key"):
        load("p", f"{PRESET}[{section}]\n{name or 'pause'} = 'x'\n")


def zotui(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments), prog_name="zotui")
    return result.exit_code, result.stdout, result.stderr


def test_the_command_line_shows_it() -> None:
    path = write('[ui]\ntheme = "colour-blind-dark"\n[keys]\ncockpit.pause = "k"\n')
    assert zotui("config", "path") == (0, f"{path}\n", "")
    code, shown, _ = zotui("config", "show")
    assert code == 0
    assert tomllib.loads(shown) == {
        "ui": {"theme": "colour-blind-dark"},
        "notify": {},
        "keys": {"cockpit": {"pause": "k"}},
    }
    assert '# chart.zoom_in = "plus"  # zoom in' in shown


@pytest.mark.parametrize("text", ["[ui]\nthema = 1\n", '[keys]\ncockpit.pause = "c"\n', "[keys]\ncockpit.x = 'c'\n"])
def test_a_faulty_one_is_told_and_breaks_no_other_command(text: str) -> None:
    write(text)
    code, out, err = zotui("config", "show")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert zotui("presets", "ls")[0] == zotui("list")[0] == 0
