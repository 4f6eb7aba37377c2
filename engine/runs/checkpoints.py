"""Checkpoints: the state of the weights in scope, written aside and renamed, so that none is ever half there.

Where it is small, what was learned in each interval, which leads from the model's files to those weights; else the
weights themselves.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from engine.runs.directory import ASIDE, RunDir, step_of
from engine.runs.info import FileMark
from engine.runs.lineage import Lineage


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint consists of; `replay_from` as in `Whole`."""

    format: int = 1
    step: int
    replay_from: int
    files: dict[str, FileMark]


_WEIGHTS = "weights.safetensors"
_LEARNED = "learned.safetensors"
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Whole:
    """A checkpoint whose files are as they were written."""

    file: Path
    step: int  # steps done when it was written
    replay_from: int  # the journal from this step on rebuilds the rest

    def load(self, state: State, began: int) -> None:
        """Set a runtime to it; `began` as in `load_weights`."""
        load = state.load_learned if self.file.name == _LEARNED else state.load_weights
        load(self.file, self.replay_from, began)


class State(Protocol):
    """Of a runtime (`engine.runtimes.base.Runtime`)."""

    def save_weights(self, path: Path) -> None: ...

    def save_learned(self, path: Path) -> bool: ...

    def load_weights(self, path: Path, step: int, began: int) -> None: ...

    def load_learned(self, path: Path, step: int, began: int) -> None: ...

    def weights_since(self) -> int: ...


def save(run: RunDir, steps_done: int, state: State) -> Path:
    """Write the checkpoint of the state after `steps_done` steps; returns its folder.

    Raises `OSError` if the disk does not take it: nothing of it is left then.
    """
    final = run.checkpoints / f"step-{steps_done:08d}"
    aside = run.checkpoints / f"{ASIDE}{steps_done:08d}"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        file = aside / _LEARNED
        if not state.save_learned(file):
            file = aside / _WEIGHTS
            state.save_weights(file)
        mark = FileMark(size=file.stat().st_size, sha256=_digest(file))
        manifest = Manifest(step=steps_done, replay_from=state.weights_since(), files={file.name: mark})
        (aside / _MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        for written in (file, aside / _MANIFEST, aside):
            _sync(written)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)  # what there is room for, the journal may need
        raise
    shutil.rmtree(final, ignore_errors=True)
    aside.rename(final)
    _sync(run.checkpoints)
    return final


def newest(run: RunDir, way: Lineage) -> tuple[Whole | None, list[str]]:
    """The newest checkpoint on the way to a state, and the names of newer ones that are damaged."""
    damaged: list[str] = []
    for folder in reversed(run.checkpoint_folders()):
        manifest = manifest_of(folder)
        if manifest is not None and not way.usable(manifest.step, manifest.replay_from):
            continue
        if manifest is not None and (file := _as_written(folder, manifest)) is not None:
            return Whole(file, manifest.step, manifest.replay_from), damaged
        damaged.append(folder.name)
    return None, damaged


def is_there(run: RunDir, way: Lineage) -> bool:
    """Whether there is a checkpoint, as it was written, of the very state that is reached that way."""
    folder = run.checkpoint_at(way.steps)
    manifest = manifest_of(folder) if folder else None
    if folder is None or manifest is None or not way.usable(manifest.step, manifest.replay_from):
        return False
    return _as_written(folder, manifest) is not None


def prune(run: RunDir, keep: int, also: Collection[int | None]) -> None:
    """Delete all but the newest `keep`, and those of the steps of `also`."""
    for folder in run.checkpoint_folders()[:-keep]:
        if step_of(folder) not in also:
            shutil.rmtree(folder, ignore_errors=True)


def manifest_of(folder: Path) -> Manifest | None:
    """What the checkpoint in a folder should consist of; None if that cannot be read."""
    try:
        return msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=Manifest)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError):  # whatever a damaged manifest may hold
        return None


def _as_written(folder: Path, manifest: Manifest) -> Path | None:
    """Its file of weights, or of what was learned, if all are as they were written."""
    try:
        for name, written in manifest.files.items():
            path = folder / name
            if path.stat().st_size != written.size or _digest(path) != written.sha256:
                return None
    except (OSError, ValueError):
        return None
    return next((folder / name for name in (_LEARNED, _WEIGHTS) if name in manifest.files), None)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
