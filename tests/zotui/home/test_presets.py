"""Where presets are found, and copies into the user's folder."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.errors import UserError
from zotui.cli import app
from zotui.home import presets

MINIMAL = '[model]\npath = "m"\n[task]\nname = "sst2"\n'


@pytest.fixture(autouse=True)
def _home(home: Path) -> None:
    """The user's folder is an empty one."""


def own(name: str, text: str = MINIMAL) -> Path:
    presets.user_folder().mkdir(parents=True, exist_ok=True)
    path = presets.user_folder() / f"{name}.toml"
    path.write_text(text)
    return path


def test_those_that_come_along_are_listed_and_valid() -> None:
    known = presets.available()
    assert {"opt-13b-sst2", "opt-1.3b-sst2", "qwen3-0.6b-sst2"} <= set(known)
    for name, path in known.items():
        assert presets.read(name)
        assert presets.describe(path)


def test_the_users_own_replaces_one_of_the_same_name() -> None:
    path = own("opt-13b-sst2")
    assert presets.find("opt-13b-sst2") == path
    assert presets.read("opt-13b-sst2").model.path == "m"


def test_a_file_is_a_preset(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(MINIMAL)
    assert presets.read(str(tmp_path / "x.toml"), ["run.steps=3"]).run.steps == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "opt-13b-sst",
            "opt-13b-sst: unknown preset; did you mean 'opt-13b-sst2'?; `zotui presets ls` lists them",
        ),
        ("no/such.toml", "no/such.toml: no such preset file; `zotui presets ls` lists the presets there are"),
    ],
)
def test_an_unknown_preset(name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        presets.read(name)
    assert str(caught.value) == message


def test_a_copy_is_the_same_text_and_never_overwrites() -> None:
    made = presets.copy("opt-13b-sst2", "mine.toml")
    assert made == presets.user_folder() / "mine.toml"
    assert made.read_text() == (presets.builtin_folder() / "opt-13b-sst2.toml").read_text()
    assert presets.find("mine") == made
    made.write_text(MINIMAL)
    with pytest.raises(UserError, match=r"mine.toml: exists already; give the copy another name"):
        presets.copy("opt-13b-sst2", "mine")
    assert made.read_text() == MINIMAL


@pytest.mark.parametrize("name", ["../out", "a/b", ".hidden", "two words"])
def test_a_copy_stays_in_the_users_folder(name: str) -> None:
    with pytest.raises(UserError, match="not a name for a preset"):
        presets.copy("opt-13b-sst2", name)


def test_the_description_of_a_broken_preset_says_so() -> None:
    path = own("broken", "[model")
    assert presets.describe(path).startswith(f"(not valid: {path}: not valid TOML")


def test_a_preset_is_replaced_only_when_that_is_said() -> None:
    path = own("mine")
    with pytest.raises(UserError, match="exists already"):
        presets.save("mine", "x")
    assert presets.save("mine", "y", replace=True) == path
    assert path.read_text() == "y"
    assert list(path.parent.iterdir()) == [path]


def test_only_the_users_own_are_deleted() -> None:
    path = own("mine")
    presets.delete(path)
    assert not path.exists()
    shipped = presets.builtin_folder() / "demo.toml"
    with pytest.raises(UserError, match="comes with zotui and stays"):
        presets.delete(shipped)
    assert shipped.exists()


def test_what_is_not_there_is_told(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.csv").write_text("text,label\n")
    text = '[model]\npath = "~/no/model"\n[task]\ntrain = "d.csv"\nvalidation = "some/set@validation"\n# end\n'
    kept = presets.save("own", text)
    assert kept.read_text() == text.replace('"d.csv"', f'"{tmp_path}/d.csv"')
    assert presets.describe(kept) == "(missing: model.path: ~/no/model)"
    Path("d.csv").unlink()
    told = CliRunner().invoke(app, ["presets", "validate", "own"]).stdout
    assert told == f"own: valid, but these are not there: task.train: {tmp_path}/d.csv; model.path: ~/no/model\n"
