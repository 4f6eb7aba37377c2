"""Forks: what they refuse, what they copy, and that one which fails leaves nothing behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.preset.load import keys
from engine.protocol.events import Eval
from engine.runs import checkpoints
from engine.runs.directory import RunDir, all_runs, step_of
from engine.runs.fork import CHANGEABLE, fork
from engine.runs.journal import append
from tests.engine.conftest import Runner
from tests.engine.training.test_change import load


@pytest.fixture
def stopped(tmp_path: Path, tiny_run: Runner) -> RunDir:
    """A run of five journaled steps."""
    run = RunDir.create(load(tiny_run), "tiny", tmp_path / "run")
    for step in range(5):
        append(run.journal_file, {"step": step, "loss_plus": 1.0, "loss_minus": 1.0, "projected_grad": 0.0})
    return run


@pytest.mark.parametrize(
    ("step", "change", "said"),
    [
        (0, "method.lr=1", "after 1 to 5 steps"),
        (6, "method.lr=1", "after 1 to 5 steps"),
        (5, "run.steps=5", "is to end after 5"),
        (3, "method.rank=4", "method.rank: the steps before the fork depend on it"),
        (3, "run.seed=1", "run.seed: the steps before the fork depend on it"),
        (3, "model.path=gpt2", "model.path: the steps before"),
        (3, "method.lr=-1", "greater than 0"),
        (3, "method.lt=1", "did you mean 'method.lr'"),
    ],
)
def test_a_fork_refuses_what_it_cannot_do_and_leaves_nothing(
    stopped: RunDir, tmp_path: Path, step: int, change: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        fork(stopped, step, [change], tmp_path / "forked")
    assert not (tmp_path / "forked").exists()


@pytest.fixture
def saved(stopped: RunDir) -> RunDir:
    """The same with two checkpoints, of 300 KB and 3 MB."""
    for step, size in ((2, 300_000), (4, 3_000_000)):
        folder = stopped.checkpoints / f"step-{step:08d}"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
        (folder / "weights.safetensors").write_bytes(b"w" * size)
        stopped.add_evaluation({"step": step, "split": "validation", "metrics": {"loss": 1.0 * step}, "examples": 1})
    return stopped


@pytest.mark.parametrize("there", [False, True], ids=["new folder", "folder of the user's"])
@pytest.mark.parametrize("fails", ["weights.safetensors", "manifest.json"])
def test_a_fork_that_cannot_copy_says_so_and_leaves_nothing(
    saved: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, there: bool
) -> None:
    copy = shutil.copy2

    def link(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    def copy_some(source: Path, target: Path) -> None:
        if target.name == fails and "00000004" in str(target):
            target.write_bytes(b"ha")  # as much as there is room for
            raise OSError(errno.EIO, "Input/output error")
        copy(source, target)

    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(shutil, "copy2", copy_some)
    folder = tmp_path / "forked"
    if there:
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError) as refused:
        fork(saved, None, ["run.steps=50"], folder)
    assert str(refused.value) == f"{folder}: cannot be written (Input/output error); choose another --run-dir"
    assert [path.name for path in folder.rglob("*")] == ["notes.txt"] if there else not folder.exists()


def test_a_fork_whose_record_cannot_be_written_leaves_nothing(
    saved: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:  # after all that was copied fitted
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("engine.runs.info.RunInfo.update", full)
    with pytest.raises(UserError, match="No space left on device"):
        fork(saved, None, ["run.steps=50"], tmp_path / "forked")
    assert not (tmp_path / "forked").exists()


@pytest.mark.parametrize("size", ["0", "8k", "64k", "1m"])  # nothing fits; the preset; the records; one checkpoint
def test_a_fork_onto_a_disk_that_is_too_small_leaves_nothing(
    saved: RunDir, tmp_path: Path, small_disk: Callable[[str], Path], size: str
) -> None:
    disk = small_disk("4k" if size == "0" else size)
    if size == "0":
        (disk / "filler").write_bytes(b"x" * 4096)
    before = sorted(disk.rglob("*"))
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        fork(saved, None, ["run.steps=50"], disk / "forked")
    assert sorted(disk.rglob("*")) == before
    if size == "1m":
        smaller = fork(saved, 3, ["run.steps=50"], disk / "forked")  # without the larger checkpoint it fits
        assert [path.name for path in smaller.checkpoint_folders()] == ["step-00000002"]


def test_a_fork_is_no_run_before_it_is_whole(saved: RunDir, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile: list[RunDir] = []

    def link(source: Path, target: Path) -> None:
        meanwhile.extend(all_runs())  # what there would be if it were killed now
        shutil.copy2(source, target)

    monkeypatch.setattr(os, "link", link)
    forked = fork(saved, None, ["run.steps=50"])
    assert not meanwhile and [run.path for run in all_runs()] == [forked.path]


@pytest.mark.parametrize("experts", [None, False, True])
def test_a_fork_moves_the_experts_that_its_run_does(saved: RunDir, tmp_path: Path, experts: bool | None) -> None:
    """A run of a version that left them still has no word on them."""
    if experts is not None:
        saved.info.update(experts=experts)
    else:
        about = json.loads(saved.info.file.read_text())
        about.pop("experts", None)
        saved.info.file.write_text(json.dumps(about))
    forked = fork(saved, 3, ["run.steps=50"], tmp_path / "forked")
    assert forked.info.read().experts is bool(experts)


class At:
    """A state of a runtime, after so many steps."""

    def __init__(self, step: int) -> None:
        self.weights_since = lambda: step

    def save_learned(self, path: Path) -> bool:
        return False

    def save_weights(self, path: Path) -> None:
        path.write_bytes(b"w")


def test_a_fork_takes_the_checkpoints_on_its_way_and_the_one_to_return_to(stopped: RunDir, tmp_path: Path) -> None:
    for step in range(5, 12):  # two of ten steps led nowhere
        append(stopped.journal_file, {"step": step, **({"returned_to": 5} if step == 7 else {}), "lr": 1.0})
    for step in (3, 5, 7, 9, 11):
        checkpoints.save(stopped, step, At(step))
    for step, loss in ((3, 0.9), (5, 0.5), (7, 0.6), (9, 0.8)):
        metrics = {"loss": loss, "accuracy": 1 - loss if step != 3 else 0.9}
        stopped.add_evaluation(Eval(step=step, metrics=metrics))

    def taken(step: int, *changes: str) -> list[int]:
        forked = fork(stopped, step, ["run.steps=50", *changes], tmp_path / f"{step}{len(changes)}")
        return [step_of(folder) for folder in forked.checkpoint_folders()]

    assert taken(10) == [3, 9]  # the newest, and the most accurate
    assert taken(8) == [3, 5]  # not 7: steps 5 and 6 led nowhere
    assert taken(7) == [3, 7]
    assert taken(10, "method.ratchet=true", "run.eval_every=2") == [3, 5, 9]


def test_forks_are_made_on_threads_each_whole(saved: RunDir, home: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        forks = list(threads.map(lambda number: fork(saved, 3, [f"run.steps={50 + number}"]), range(8)))
    assert len({run.path for run in forks}) == 8
    for number, run in enumerate(forks):
        assert run.preset().run.steps == 50 + number and run.steps_done() == 3
        assert run.summary().standing == "stopped" and run.info.read().forked_from.step == 3
        assert [path.name for path in run.checkpoint_folders()] == ["step-00000002"]


def test_what_a_fork_can_change_are_keys_there_are() -> None:
    assert set(CHANGEABLE) < set(keys())


def test_a_fork_from_the_command_line_goes_on_to_its_end(tiny_run: Runner, tmp_path: Path) -> None:
    first = tiny_run("run.checkpoint_every=4", "run.keep_checkpoints=9")
    folder = tmp_path / "forked"
    done = tiny_run("method.lr=1e-3", command="fork", options=[str(first.folder), "--step", "9"], folder=folder)
    assert done.code == 0, done.stderr
    assert [event["step"] for event in done.of("step")] == [9, 10, 11]
    assert "goes on from" in done.stderr
    again = tiny_run(command="fork", options=[str(first.folder), "--step", "9"], folder=folder)
    assert again.code == 2 and "already holds a run" in again.stderr
