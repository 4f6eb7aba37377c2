"""Keys are changed in a preset's text, and nothing else in it is."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.preset.load import keys, load
from zotui.home import presets
from zotui.home.preset_edit import edit
from zotui.home.preset_fields import fields

SHIPPED = sorted(presets.builtin_folder().glob("*.toml"))

CHANGES: list[tuple[str, Any]] = [
    ("description", "another"),
    ("model.dtype", "bfloat16"),
    ("model.max_length", 64),
    ("task.test", "my.jsonl"),
    ("task.verbalizer", {"0": "bad", "two words": 'a "great" one'}),
    ("task.target", "{answer}"),
    ("method.lr", 2e-5),
    ("run.eval_every", None),
    ("run.checkpoint_best", False),
]


def comments(text: str) -> list[str]:
    return [line.partition("#")[2].strip() for line in text.splitlines() if "#" in line]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize(("key", "value"), CHANGES, ids=[key for key, _ in CHANGES])
def test_a_change_changes_that_key_and_keeps_every_comment(file: Path, key: str, value: Any) -> None:
    text = file.read_text()
    edited = edit(text, {key: value})
    expected = tomllib.loads(text)
    section, _, name = key.rpartition(".")
    table = expected[section] if section else expected
    if value is None:
        table.pop(name)
    else:
        table[name] = value
    assert tomllib.loads(edited) == expected
    kept = comments(edited)
    assert all(any(comment in one for one in kept) for comment in comments(text))
    assert len(set(text.splitlines()) - set(edited.splitlines())) <= 1


def test_a_key_that_is_a_comment_is_written_below_it() -> None:
    lines = edit((presets.builtin_folder() / "demo.toml").read_text(), {"model.max_length": 64}).splitlines()
    place = lines.index("max_length = 64")
    assert lines[place - 1].startswith("# max_length = 256 ")
    assert edit("\n".join(lines), {"model.max_length": None}).splitlines()[place] == "# max_length = 64"


@pytest.mark.parametrize(
    "text",
    [
        'model = { path = "m" }\n[task]\nname = "sst2"\n',
        'model.path = "m"\ntask.name = "sst2"\n',
        '[model]\npath = """\n# dtype = 1\nm"""\n[task]\nname = "sst2"',
        '[task]\nname = "sst2"\n[task.verbalizer]\n0 = "a"\n1 = "b"\n[model]\npath = "m"\n',
    ],
    ids=["inline", "dotted", "multi-line", "sub-table"],
)
def test_other_ways_to_write_a_preset_are_edited_right_or_not_at_all(text: str) -> None:
    for changes in (
        {"model.dtype": "float32"},
        {"run.steps": 3},
        {"description": "d"},
        {"task.verbalizer": {"x": "y"}},
    ):
        try:
            edited = tomllib.loads(edit(text, changes))
        except UserError as error:
            assert "by hand" in str(error)
            continue
        ((key, value),) = changes.items()
        section, _, name = key.rpartition(".")
        assert (edited[section] if section else edited)[name] == value
        assert edited["model"]["path"] == tomllib.loads(text)["model"]["path"]


def test_what_is_no_toml_is_refused() -> None:
    with pytest.raises(UserError, match="not valid TOML"):
        edit("[model", {"run.steps": 3})


def test_the_form_has_every_key_with_its_documentation() -> None:
    assert {field.key: field.about for field in fields()} == keys()
    by_key = {field.key: field for field in fields()}
    assert by_key["method.rank"].bounds == "at least 1, at most 512"
    assert by_key["model.dtype"].choices == ("auto", "float32", "bfloat16", "float16")
    assert by_key["model.path"].required and not by_key["task.name"].required


@pytest.mark.parametrize("file", SHIPPED, ids=lambda path: path.stem)
def test_what_a_field_shows_it_reads_back(file: Path) -> None:
    wanted = load("p", file.read_text()).model_dump()
    wanted["task"]["verbalizer"] = {"0": "terrible", "a b": 'quite "good"'}
    for field in fields():
        value = wanted[field.section][field.name] if field.section else wanted[field.name]
        if value not in (None, ""):
            assert field.read(field.shown(value)) == value
