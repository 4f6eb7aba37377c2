"""`zotui presets new`, with the engine that looks at the file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests import forked
from zotui.cli import app
from zotui.engines.proposing import ProposeEngine
from zotui.home import presets

ROWS = [{"text": f"film {i}", "label": i % 2} for i in range(20)]


@pytest.fixture(autouse=True)
def _files(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ProposeEngine, "COMMAND", (forked.stand_in(), *ProposeEngine.COMMAND[1:]))
    Path("films.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))


def new(shared: Path, *arguments: str) -> Result:
    model = str(shared / "models/tiny-opt")
    return CliRunner().invoke(app, ["presets", "new", "--model", model, *arguments])


@pytest.mark.fresh
def test_it_is_printed_kept_and_valid(shared: Path, tmp_path: Path) -> None:
    done = new(shared, "--data", "films.jsonl")
    assert done.exit_code == 0, done.stderr
    kept = presets.user_folder() / "films.toml"
    assert done.stdout.startswith(kept.read_text()) and "written; next: zotui preflight films" in done.stderr
    told = done.stdout.removeprefix(kept.read_text())
    assert "data    18 rows to train on, 2 to validate on" in told
    assert "row 1   '</s>film " in told and "\\nLabel:' -> ' " in told
    assert "check   the labels of 'label' are numbers" in told
    assert tomllib.loads(kept.read_text())["task"]["train"] == str(tmp_path / "films.jsonl")
    assert CliRunner().invoke(app, ["presets", "validate", "films"]).stdout == "films: valid\n"


def test_a_name_that_is_taken_is_refused_unless_it_is_to_be_replaced(shared: Path) -> None:
    presets.save("films", "mine")
    done = new(shared, "--data", "films.jsonl")
    assert done.exit_code == 2 and "there is a preset called films already; give --name, or --replace" in done.stderr
    assert new(shared, "--data", "films.jsonl", "--replace").exit_code == 0
    assert presets.text(presets.own_file("films")) != "mine"
    assert new(shared, "--data", "films.jsonl", "--name", "other").exit_code == 0
    assert new(shared, "--data", "films.jsonl", "--name", "demo").exit_code == 2


def test_it_may_go_elsewhere(shared: Path) -> None:
    done = new(
        shared, "--data", "films.jsonl", "--to", "-", "--set", "task.verbalizer.0=bad", "--set", "method.lr=1e-5"
    )
    found = tomllib.loads(done.stdout)
    assert found["task"]["verbalizer"] == {"0": "bad", "1": "1"} and found["method"]["lr"] == 1e-5
    assert "check   " in done.stderr and not presets.user_folder().exists()
    assert new(shared, "--data", "films.jsonl", "--to", "p.toml").exit_code == 0
    assert tomllib.loads(Path("p.toml").read_text())["task"]["label"] == "label"
    done = new(shared, "--data", "films.jsonl", "--to", "p.toml")
    assert done.exit_code == 2 and "is there already; choose another file, or --replace" in done.stderr


def test_a_mistake_is_one_line(shared: Path) -> None:
    done = new(shared, "--data", "film.jsonl")
    assert done.exit_code == 2 and not done.stdout
    assert done.stderr.splitlines() == ["zotui: --data: film.jsonl: no such file; did you mean 'films.jsonl'?"]


def test_the_name_is_the_files_or_its_folders() -> None:
    assert presets.name_for_data("a b/my films.v2.csv") == "my-films"
    assert presets.name_for_data("/x/rte/train.jsonl") == "rte"
