"""Checkpoints: complete or not there, as they were written or not trusted, and only as many as are wanted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from engine.protocol.events import Checkpoint, Eval, Hello, Log
from engine.runs import checkpoints
from engine.runs.best import best_evaluation
from engine.runs.directory import RunDir, step_of
from engine.runs.lineage import Lineage
from tests.live_engine import Engine

SETTINGS = ("run.steps=25", "run.batch_size=4", "run.checkpoint_every=6", "run.keep_checkpoints=9")
LAST = "checkpoints/step-00000025/weights.safetensors"


def names(run: RunDir) -> list[int]:
    return [int(folder.name.removeprefix("step-")) for folder in run.checkpoint_folders()]


def same_end(one: RunDir, other: RunDir) -> bool:
    first, second = load_file(one.path / LAST), load_file(other.path / LAST)
    return first.keys() == second.keys() and all(bool((first[key] == second[key]).all()) for key in first)


_FINISHED: list[RunDir] = []


@pytest.fixture
def finished(start: Any) -> RunDir:
    """One undisturbed run for all; never to be changed."""
    if not _FINISHED:
        engine = start(*SETTINGS)
        assert engine.finish() == 0
        _FINISHED.append(engine.run)
    return _FINISHED[0]


def test_the_manifest_has_the_hashes_of_what_is_there(finished: RunDir) -> None:
    assert names(finished) == [6, 12, 18, 24, 25]
    for folder in finished.checkpoint_folders():
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["format"] == 1
        assert f"step-{manifest['step']:08d}" == folder.name
        assert manifest["replay_from"] <= manifest["step"]
        assert {file.name for file in folder.iterdir()} == {"manifest.json", *manifest["files"]}
        assert all((folder / name).stat().st_size == of["size"] for name, of in manifest["files"].items())


def test_old_ones_go_and_the_best_stays(start: Any) -> None:
    engine = start(
        "run.steps=30", "run.batch_size=4", "run.checkpoint_every=6", "run.eval_every=5", "run.keep_checkpoints=1"
    )
    assert engine.finish() == 0
    best = best_evaluation(engine.run.evaluations())
    assert best is not None
    assert best.step and set(names(engine.run)) == {30, best.step}
    assert engine.run.checkpoint_at(best.step) == engine.run.checkpoints / f"step-{best.step:08d}"
    assert engine.run.checkpoint_at(29) is None


def test_without_checkpoint_best_only_what_is_asked_for_is_written(start: Any) -> None:
    engine = start("run.steps=10", "run.eval_every=2", "run.checkpoint_best=false")
    assert engine.finish() == 0
    assert [event.step for event in engine.seen if isinstance(event, Checkpoint)] == [10]


@pytest.mark.parametrize(
    ("evaluations", "step"),
    [
        ([(0, 0.6, 0.1), (5, 0.6, 0.5), (9, 0.7, 0.6), (12, 0.7, 0.55), (15, 0.7, 0.55)], 12),
        ([(0, None, 0.5), (5, None, 0.5), (9, None, 0.4)], 9),
        ([(0, None, 0.4), (5, None, 0.5), (9, None, 0.4)], 0),  # it only did harm
        ([(0, 0.9, 0.1)], 0),
        ([], None),
    ],
)
def test_the_best_is_the_most_accurate_then_the_one_of_least_loss(
    evaluations: list[tuple[int, float | None, float]], step: int | None
) -> None:
    records = [
        Eval(step=at, metrics={"loss": loss} | ({} if accuracy is None else {"accuracy": accuracy}))
        for at, accuracy, loss in evaluations
    ]
    best = best_evaluation(records)
    assert (best.step if best else None) == step


def _flip(folder: Path) -> None:
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-100] ^= 1
    (folder / "weights.safetensors").write_bytes(content)


def _truncate(folder: Path) -> None:
    with (folder / "weights.safetensors").open("rb+") as file:
        file.truncate(1000)


def _forget(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def _garble(folder: Path) -> None:
    (folder / "manifest.json").write_text("[]")


@pytest.mark.parametrize("damage", [_flip, _truncate, _forget, _garble])
def test_a_damaged_one_is_never_taken(finished: RunDir, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    run = copied(finished, tmp_path)
    newest, older = reversed(run.checkpoint_folders()[-2:])
    damage(newest)
    found, damaged = checkpoints.newest(run, Lineage({}, 25))
    assert found is not None
    assert (found.file.parent, damaged) == (older, [newest.name])


def test_damaged_ones_are_passed_over_and_said(finished: RunDir, tmp_path: Path) -> None:
    run = killed_at(finished, tmp_path, 15)
    (run.checkpoints / ".writing-00000018").mkdir()  # what it was at
    folders = run.checkpoint_folders()
    for folder in folders:
        _flip(folder)
    again = Engine(run, resume=True)
    assert again.finish() == 0
    told = [event.text for event in again.seen if isinstance(event, Log) and event.level == "warning"]
    of_use = [folder for folder in folders if step_of(folder) <= 15]
    assert len(of_use) == 2 and told == [
        f"checkpoints/{folder.name} is damaged: passed over, it can be deleted" for folder in reversed(of_use)
    ]
    assert same_end(finished, run)
    assert not list(run.checkpoints.glob(".*"))


def test_a_checkpoint_that_is_ahead_of_the_journal_is_not_used(finished: RunDir, tmp_path: Path) -> None:
    run = killed_at(finished, tmp_path, 15)
    assert run.checkpoint_folders()[-1].name == "step-00000025"
    again = Engine(run, resume=True)
    assert again.until(Hello).first_step == 15
    assert again.finish() == 0
    assert same_end(finished, run)
    assert run.journal_file.read_bytes().count(b"\n") == 25


def killed_at(finished: RunDir, folder: Path, steps: int) -> RunDir:
    """A copy of a run whose journal ends there."""
    run = copied(finished, folder)
    lines = run.journal_file.read_bytes().splitlines(keepends=True)
    run.journal_file.write_bytes(b"".join(lines[:steps]))
    run.info.update(state="running")
    return run


def copied(run: RunDir, folder: Path) -> RunDir:
    shutil.copytree(run.path, folder / "copy")
    return RunDir(folder / "copy")
