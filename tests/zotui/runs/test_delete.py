"""A run's folder is deleted, and nothing else ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import UserError
from engine.preset.load import load
from engine.runs.directory import RunDir
from engine.runs.home import runs_home
from zotui.runs.delete import delete_run

PRESET = load("p", '[model]\npath = "m"\n[task]\nname = "sst2"\n')


def test_a_run_goes_whole_and_what_its_links_lead_to_stays(home: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    run, other = RunDir.create(PRESET, "p"), RunDir.create(PRESET, "p")
    (run.path / "link").symlink_to(kept)
    delete_run(run)
    assert not run.path.exists()
    assert other.path.exists() and (kept / "file").exists()


def test_a_live_run_stays(home: Path) -> None:
    run = RunDir.create(PRESET, "p")
    run.acquire()
    with pytest.raises(UserError, match="is live; stop it first"):
        delete_run(RunDir(run.path))
    assert run.preset_file.exists()


def test_a_link_to_a_run_stays_and_so_does_the_run(home: Path, tmp_path: Path) -> None:
    elsewhere = RunDir.create(PRESET, "p", tmp_path / "elsewhere")
    runs_home().mkdir(parents=True)
    link = runs_home() / "linked"
    link.symlink_to(elsewhere.path)
    for run in (RunDir(link), elsewhere):
        with pytest.raises(UserError, match="by hand"):
            delete_run(run)
    assert link.is_symlink() and elsewhere.preset_file.exists()


def test_a_folder_that_is_no_run_stays(home: Path) -> None:
    folder = runs_home() / "mine"
    folder.mkdir(parents=True)
    with pytest.raises(UserError, match="is no run"):
        delete_run(RunDir(folder))
    assert folder.exists()
