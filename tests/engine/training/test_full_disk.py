"""A disk that takes nothing more holds the run, which goes on by itself, to the same end, bit for bit."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from engine.protocol.commands import Pause, Resume, Save, Stop
from engine.protocol.events import Checkpoint, Error, State
from engine.runs.directory import RunDir
from tests import starting

SETTINGS = ("run.steps=40", "run.batch_size=4", "run.eval_every=15")


def obstacle(engine: Any, what: str) -> State:
    held = engine.until(State, state="paused")
    assert isinstance(held, State)
    assert held.waits and held.reason.startswith(f"{what} cannot be written (")
    return held


def outcome(run: RunDir) -> tuple[list[Any], dict[str, Any]]:
    losses = [(s.step, s.loss_plus, s.loss_minus, s.projected_grad) for s in run.journal()]
    tensors = load_file(run.path / "checkpoints/step-00000040/weights.safetensors")
    return losses, {name: tensor.tolist() for name, tensor in tensors.items()}


_UNDISTURBED: list[RunDir] = []


@pytest.fixture
def finished(start: Any) -> RunDir:
    """One undisturbed run for all."""
    if not _UNDISTURBED:
        engine = start(*SETTINGS)
        assert engine.finish() == 0
        _UNDISTURBED.append(engine.run)
    return _UNDISTURBED[0]


@pytest.fixture
def undisturbed(finished: RunDir) -> tuple[list[Any], dict[str, Any]]:
    return outcome(finished)


def test_journal_evaluation_and_checkpoint_wait_for_room(start: Any, undisturbed: Any) -> None:
    engine = start(*SETTINGS)
    engine.hold()
    engine.limit(1800)  # some lines, and a part of one
    engine.send(Resume())
    held = obstacle(engine, "journal.jsonl")
    assert "make room" in held.reason
    assert engine.run.journal_file.read_bytes().endswith(b"\n")  # nothing half written is left
    engine.send(Resume())  # tries at once, and cannot
    obstacle(engine, "journal.jsonl")
    engine.limit(64 * 1024)  # room for everything but the weights
    assert engine.until(State, state="running").reason == ""
    engine.send(Pause())
    engine.until(State, state="paused")
    engine.send(Save())
    obstacle(engine, "the checkpoint")
    assert not list(engine.run.checkpoints.glob("*"))  # gives back what it took
    engine.limit(-1)
    engine.until(Checkpoint)
    engine.send(Resume())
    assert engine.finish() == 0
    assert outcome(engine.run) == undisturbed
    assert engine.run.summary().standing == "finished"


@pytest.mark.parametrize("stop", [True, False], ids=["stop", "signal"])
def test_a_stop_while_it_waits_ends_the_run_and_says_what_could_not_be_written(
    start: Any, undisturbed: Any, stop: bool
) -> None:
    engine = start(*SETTINGS)
    engine.hold()
    engine.limit(1500)
    engine.send(Resume())
    held = obstacle(engine, "journal.jsonl")
    if stop:
        engine.send(Stop())
    else:
        engine.process.terminate()
    error = engine.until(Error)
    assert error.kind == "failure" and error.text.startswith("journal.jsonl could not be written (")
    assert engine.finish() == 1
    assert len(list(engine.run.journal())) == held.step
    again = type(engine)(engine.run, resume=True)
    assert again.finish() == 0
    assert outcome(engine.run) == undisturbed


def test_a_disk_that_is_really_full(
    start: Any, undisturbed: Any, small_disk: Callable[[str], Path], request: pytest.FixtureRequest
) -> None:
    disk = small_disk("32m")
    wanted = start(*SETTINGS)
    wanted.process.kill()
    engine = type(wanted)(RunDir.create(wanted.run.preset(), "tiny", disk / "run"))
    request.addfinalizer(engine.process.kill)
    engine.hold()
    engine.advance(5)
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    engine.send(Resume())
    held = engine.until(State, state="paused")
    assert held.waits and "No space left on device" in held.reason
    filler.unlink()
    assert engine.finish() == 0
    assert outcome(engine.run) == undisturbed


def test_a_directory_that_cannot_be_written_is_refused(finished: RunDir, tmp_path: Path) -> None:
    run = RunDir(shutil.copytree(finished.path, tmp_path / "run"))
    read_only = tmp_path / "read-only"
    read_only.mkdir()
    made = subprocess.run(["mount", "--bind", str(run.path), str(read_only)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"needs to mount: {made.stderr.decode().strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(read_only)], check=True)
        run.info.update(state="stopped")  # or there would be nothing to do
        for command in (["-m", "zotui", "resume", "--headless"], ["-P", "-m", "engine", "--resume"]):
            done = starting.run([*command, str(read_only)])
            assert done.returncode == 2
            told = done.stderr if "zotui" in command else done.stdout
            assert f"{read_only}: " in told and "Read-only file system" in told
            assert "Traceback" not in told
    finally:
        subprocess.run(["umount", "-l", str(read_only)], check=True)
