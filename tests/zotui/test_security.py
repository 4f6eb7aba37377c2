"""What comes from elsewhere reaches neither other folders nor, as more than text, the terminal."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.preset.load import load
from engine.protocol.codec import decode_event, encode
from engine.protocol.events import Log
from engine.runs.directory import RunDir
from engine.runs.home import runs_home
from tests.zotui.scripted_engine import install, zotui
from zotui.cli import app
from zotui.home import presets

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
SHOWN = "\\u001b]0;owned\\u0007\\u001b[2J\\u009b31m\\u202e"
MINIMAL = '[model]\npath = "m"\n[task]\nname = "sst2"\n[run]\nsteps = 3\n'


@pytest.fixture(autouse=True)
def _home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.chdir(tmp_path)


def here(*arguments: str) -> tuple[int, str]:
    """Exit code of a command, and all that it printed, of which a terminal must obey nothing."""
    result = CliRunner().invoke(app, list(arguments), prog_name="zotui")
    assert_plain(result.output)
    return result.exit_code, result.output


def assert_plain(text: str) -> None:
    assert not [c for c in text if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 or c == "\u202e"], text


def own_preset(name: str, text: str) -> Path:
    presets.user_folder().mkdir(parents=True, exist_ok=True)
    path = presets.user_folder() / f"{name}.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "../../x", "--headless"),
        ("run", "..", "--headless"),
        ("show", "../.."),
        ("show", ".."),
        ("resume", "../../etc"),
        ("presets", "show", ".."),
        ("presets", "show", "../x"),
        ("presets", "copy", "demo", "../../evil"),
        ("presets", "copy", "demo", "a/b"),
        ("presets", "copy", "demo", ".."),
        ("presets", "copy", "demo", "/tmp/evil"),
        ("presets", "copy", "../../x"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(home: Path, arguments: tuple[str, ...]) -> None:
    before = sorted(home.parent.rglob("*"))
    code, output = here(*arguments)
    assert code == 2
    assert len(output.splitlines()) == 1
    assert sorted(home.parent.rglob("*")) == before


def test_what_a_preset_says_of_itself_is_shown_as_text() -> None:
    escaped = "".join(f"\\u{ord(c):04x}" for c in HOSTILE)
    own_preset("escaped", f'description = "{escaped}"\n{MINIMAL}')
    own_preset("raw", f"# {HOSTILE}\n{MINIMAL}")
    own_preset(f"name{HOSTILE.replace('/', '')}", MINIMAL)
    code, listed = here("presets", "ls")
    assert code == 0
    assert "escaped" in listed and "description: holds a control character" in listed
    assert f"name{SHOWN}" in listed
    code, shown = here("presets", "show", "raw")
    assert code == 0 and shown.startswith(f"# {SHOWN}\n")
    code, shown = here("presets", "show", "escaped")
    assert code == 0 and escaped in shown
    assert here("presets", "validate", "escaped")[0] == 2
    assert here("presets", "validate", f"name{HOSTILE}")[0] == 0
    assert here("run", f"no{HOSTILE}")[0] == 2


def test_what_a_runs_records_say_is_shown_as_text() -> None:
    run = RunDir.create(load("p", MINIMAL), HOSTILE, runs_home() / f"r{HOSTILE}")
    run.info.update(state="failed", error=f"said {HOSTILE}")
    for arguments in (("list",), ("show", run.name), ("list", "--json"), ("show", run.name, "--json")):
        code, output = here(*arguments)
        assert code == 0
        assert f"r{SHOWN}" in output
    assert json.loads(here("show", run.name, "--json")[1])["error"] == f"said {HOSTILE}"


def test_what_the_engine_says_is_shown_as_text(tmp_path: Path) -> None:
    Path("p.toml").write_text(MINIMAL)
    engine = install(
        tmp_path,
        f"""
        bad = {HOSTILE!r}
        say(events.Phase(name="load" + bad, detail=bad))
        hello(3)
        say(events.Log(level="warning", text=f"log {{bad}}"))
        say(events.Log(level="info", text=f"row {{bad}}"))
        print(f"stack {{bad}}", file=sys.stderr, flush=True)
        say(events.Error(kind="failure", text=f"fault {{bad}}"))
        sys.exit(1)
        """,
    )
    for form in ((), ("--json",)):
        code, out, err = zotui("run", "p.toml", "--headless", *form, engine=engine)
        assert code == 1
        assert_plain(out)
        assert_plain(err)
        assert f"fault {SHOWN}" in err and f"stack {SHOWN}" in err
    assert any(json.loads(line).get("text") == f"fault {SHOWN}" for line in out.splitlines())


def test_an_event_is_decoded_as_plain_text_and_else_as_it_is() -> None:
    event = Log(level="info", text=f"a{HOSTILE}\nb\tc – ünïcode 中文 🙂")
    assert decode_event(encode(event)).text == f"a{SHOWN}\nb\tc – ünïcode 中文 🙂"
    assert os.linesep == "\n"
