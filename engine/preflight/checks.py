"""What is checked and decided before anything is loaded: device, runtime, memory, disk."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

from engine.directions.fold import FoldMode
from engine.errors import UserError
from engine.machine import available_memory
from engine.models.facts import ModelFacts
from engine.preflight.disk import Disk
from engine.preflight.memory import Memory, estimate_memory, residual_bytes
from engine.preset.method import Method
from engine.runtimes.base import Needs
from engine.text import in_bytes

_GiB = 2**30


def check_memory(
    facts: ModelFacts,
    needs: Needs,
    method: Method,
    *,
    dtype: str,
    device: str,
    runtime: str,
    fold: FoldMode,
    limit_gib: float | None,
) -> tuple[Memory, str]:
    """The memory of a run, and a line for the log. Raises `UserError` if it is more than there is."""
    whole = estimate_memory(facts, needs, method, dtype=dtype, device=device, runtime=runtime, fold=fold)
    available = available_memory(device, limit_gib)
    needed = whole if whole.total <= available else replace(whole, copies=0)
    if needed.total > available:
        without = ""
        if needed.residuals:
            without = f", or --set model.fold=stochastic ({needed.residuals / _GiB:.1f} GiB less)"
        raise UserError(
            f"model.path: {facts.path}: needs about {needed.total / _GiB:.1f} GiB of memory on {device}, "
            f"{available / _GiB:.1f} GiB are available; take a smaller model, dtype or run.batch_size{without}"
        )
    slower = ", but without room for plain copies, and so with slower folds" if needed.copies < whole.copies else ""
    return needed, f"memory: {needed}; {in_bytes(available)} are available on {device}: fits{slower}"


def check_disk(needed: Disk, folder: Path) -> tuple[Literal["info", "warning"], str]:
    """A line for the log on whether the disk of `folder` has room.

    Raises `UserError` if there is none even for one checkpoint and the journal.
    """
    free = shutil.disk_usage(folder).free
    there = f"{in_bytes(free)} are free in {folder}"
    if needed.least > free:
        raise UserError(
            f"{folder}: a checkpoint and the journal take {in_bytes(needed.least)}, {in_bytes(free)} are free there; "
            "make room, or choose another --run-dir"
        )
    if needed.total > free:
        remedy = "a smaller run.keep_checkpoints takes less; a full disk holds the run until there is room"
        return "warning", f"disk: {needed}, but {there}: {remedy}"
    return "info", f"disk: {needed}; {there}: fits"


def describe_fold(facts: ModelFacts, *, dtype: str, runtime: str, fold: FoldMode) -> str:
    """How updates are kept in weights of this precision, and what that takes, for the log."""
    if runtime != "vllm":
        return f"updates: in place, rounded to {dtype} at every step"
    size = residual_bytes(facts, runtime=runtime, fold=fold)
    how = {
        "residual": f"a residual beside the weights keeps what {dtype} cannot ({size / 1e9:.2g} GB more)",
        "stochastic": f"stochastic rounding to {dtype}, right on average (no more memory)",
        "nearest": f"rounded to {dtype} (no more memory)",
    }
    return f"folds: {how[fold]}"
