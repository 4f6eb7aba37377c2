"""Checkpoints: the weights in scope, written aside and renamed, so that none is ever half there."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.runs.directory import ASIDE, RunDir
from engine.runs.info import FileMark


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint consists of; `replay_from` as in `Whole`."""

    format: int = 1
    step: int
    replay_from: int
    files: dict[str, FileMark]


_WEIGHTS = "weights.safetensors"
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Whole:
    """A checkpoint whose files are as they were written."""

    weights: Path
    step: int  # steps done when it was written
    replay_from: int  # the journal from this step on rebuilds the rest


def save(run: RunDir, steps_done: int, write_weights: Callable[[Path], None], replay_from: int) -> Path:
    """Write the checkpoint of the state after `steps_done` steps; returns its folder.

    `write_weights` writes a file of weights, from which the journal from step `replay_from` on leads to this state.
    Raises `OSError` if the disk does not take it: nothing of it is left then.
    """
    final = run.checkpoints / f"step-{steps_done:08d}"
    aside = run.checkpoints / f"{ASIDE}{steps_done:08d}"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        write_weights(aside / _WEIGHTS)
        weights = FileMark(size=(aside / _WEIGHTS).stat().st_size, sha256=_digest(aside / _WEIGHTS))
        manifest = Manifest(step=steps_done, replay_from=replay_from, files={_WEIGHTS: weights})
        (aside / _MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        for written in (aside / _WEIGHTS, aside / _MANIFEST, aside):
            _sync(written)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)  # what there is room for, the journal may need
        raise
    shutil.rmtree(final, ignore_errors=True)
    aside.rename(final)
    _sync(run.checkpoints)
    return final


def newest(run: RunDir, steps: int) -> tuple[Whole | None, list[str]]:
    """The newest checkpoint that a journal of `steps` steps can go on from, and the names of damaged ones."""
    damaged = []
    for folder in reversed(run.checkpoint_folders()):
        whole = _read(folder)
        if whole is None:
            damaged.append(folder.name)
        elif whole.replay_from <= steps:
            return whole, damaged
    return None, damaged


def prune(run: RunDir, keep: int, best: int | None) -> None:
    """Delete all but the newest `keep`, and the one of step `best`."""
    for folder in run.checkpoint_folders()[:-keep]:
        if folder.name != f"step-{best or 0:08d}":
            shutil.rmtree(folder, ignore_errors=True)


def _read(folder: Path) -> Whole | None:
    """The checkpoint in a folder; None if it is not as it was written."""
    try:
        manifest = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=Manifest)
        for name, written in manifest.files.items():
            path = folder / name
            if path.stat().st_size != written.size or _digest(path) != written.sha256:
                return None
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError):  # whatever a damaged manifest may hold
        return None
    return Whole(folder / _WEIGHTS, manifest.step, manifest.replay_from) if _WEIGHTS in manifest.files else None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
