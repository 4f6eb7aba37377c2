"""What `zotui doctor` finds here, and what it says of an installation that is broken."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from zotui.commands.doctor import _configuration

REPOSITORY = Path(__file__).parents[3]


def doctor(home: Path, *, before: Path | None = None) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code and the findings by name; `before` shadows what is installed."""
    searched = [str(before)] if before else []
    done = subprocess.run(
        [sys.executable, "-m", "zotui", "doctor", "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "ZOTUI_HOME": str(home), "PYTHONPATH": os.pathsep.join([*searched, str(REPOSITORY)])},
        check=False,
    )
    return done.returncode, {found["name"]: found for found in map(json.loads, done.stdout.splitlines())}


def test_finds_what_is_installed_here(tmp_path: Path) -> None:
    code, found = doctor(tmp_path / "not yet there")
    assert code == 0
    assert found["config.toml"]["found"].startswith("none")
    assert {"python", "home", "torch", "transformers", "datasets", "memory", "vllm"} <= set(found)
    assert all(one["state"] != "wrong" for one in found.values())
    assert str(tmp_path) in found["home"]["found"]
    if importlib.util.find_spec("vllm") is not None:
        assert found["vllm"]["state"] == "ok"
    assert not (tmp_path / "not yet there").exists()


@pytest.mark.parametrize(
    ("body", "told"), [("raise OSError('libtorch.so is missing')", "libtorch.so is missing"), ("1/0", "division")]
)
def test_a_library_that_does_not_load_is_told_with_what_mends_it(tmp_path: Path, body: str, told: str) -> None:
    (tmp_path / "broken/torch").mkdir(parents=True)
    (tmp_path / "broken/torch/__init__.py").write_text(body)
    code, found = doctor(tmp_path, before=tmp_path / "broken")
    assert code == 1
    assert found["torch"]["state"] == "wrong"
    assert told in found["torch"]["found"]
    assert "pip install" in found["torch"]["remedy"]
    assert "vllm" not in found  # could not be looked at


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, found = doctor(tmp_path / "file" / "home")
    assert code == 1
    assert "cannot be written" in found["home"]["found"]
    assert "ZOTUI_HOME" in found["home"]["remedy"]


def test_a_faulty_configuration_is_told_where_the_app_would_leave_it_out(home: Path) -> None:
    assert _configuration()["state"] == "ok"
    home.mkdir()
    for text, told in (('[ui]\nthme = "zotui-dark"\n', "thme"), ('[keys]\ncockpit.pause = "q"\n', "cockpit.leave")):
        (home / "config.toml").write_text(text)
        found = _configuration()
        assert found["state"] == "warning" and told in found["found"]  # runs start all the same
        assert str(home / "config.toml") in found["remedy"]


def test_a_terminal_gets_a_table(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "zotui", "doctor"],
        capture_output=True,
        text=True,
        env={**os.environ, "ZOTUI_HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)},
        check=False,
    )
    assert done.returncode == 0
    assert any(line.startswith("ok     torch ") for line in done.stdout.splitlines())
    assert done.stderr == ""
