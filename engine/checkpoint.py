"""Checkpoints: the weights in scope, written aside and renamed, so that none is ever half there."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.rundir import RunDir
from engine.runtime import Runtime

_WEIGHTS = "weights.safetensors"
_MANIFEST = "manifest.json"


def save(run: RunDir, runtime: Runtime, steps_done: int) -> Path:
    """Write the checkpoint of the state after `steps_done` steps; returns its folder.

    It holds the weights of the last fold; the journal from `replay_from` on rebuilds the rest.
    """
    final = run.checkpoints / f"step-{steps_done:08d}"
    aside = run.checkpoints / f".writing-{steps_done:08d}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    runtime.save_weights(aside / _WEIGHTS)
    manifest = {
        "step": steps_done,
        "replay_from": runtime.weights_since(),
        "sha256": _digest(aside / _WEIGHTS),
    }
    (aside / _MANIFEST).write_text(json.dumps(manifest))
    shutil.rmtree(final, ignore_errors=True)
    aside.rename(final)
    return final


def latest(run: RunDir) -> tuple[Path, int] | None:
    """The weights of the newest checkpoint and the step to replay from, or None.

    Raises `UserError` if its weights are not those that were written.
    """
    folders = sorted(run.checkpoints.glob("step-*"))
    if not folders:
        return None
    folder = folders[-1]
    try:
        manifest: dict[str, Any] = json.loads((folder / _MANIFEST).read_bytes())
        sound = manifest["sha256"] == _digest(folder / _WEIGHTS)
    except (OSError, ValueError, KeyError):
        sound = False
    if not sound:
        raise UserError(f"{folder}: the checkpoint is damaged; delete it, and the journal rebuilds the state")
    return folder / _WEIGHTS, int(manifest["replay_from"])


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
