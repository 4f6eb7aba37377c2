"""What a run takes of its disk: checkpoints and the journal."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from engine.directions.fold import FoldMode
from engine.directions.space import space_of
from engine.models.facts import ModelFacts, dtype_of
from engine.preflight.memory import interval_bytes, residual_bytes
from engine.preflight.scope import folds_of
from engine.preset.schema import Preset
from engine.runtimes.base import Needs
from engine.text import in_bytes

# Bytes of a line, and more for every direction where there are several: with all digits that a double has.
_LINE = 300
_LOSSES = 2 * 21


@dataclass(frozen=True)
class Disk:
    """Bytes; `checkpoints` is how many lie there together at most, one that is being written included."""

    checkpoint: int
    checkpoints: int
    journal: int

    @property
    def least(self) -> int:
        """Without this much the run would be for nothing."""
        return self.checkpoint + self.journal

    @property
    def total(self) -> int:
        """What it comes to in the end."""
        return self.checkpoint * self.checkpoints + self.journal

    def __str__(self) -> str:
        together = f", up to {self.checkpoints} of them together" if self.checkpoints > 1 else ""
        return (
            f"{in_bytes(self.total)} in all (a checkpoint {in_bytes(self.checkpoint)}{together}; "
            f"the journal {in_bytes(self.journal)})"
        )


def estimate_disk(
    facts: ModelFacts,
    wanted: Preset,
    *,
    dtype: str,
    device: str,
    runtime: str,
    fold: FoldMode,
    steps_done: int,
    saved: int,
) -> Disk:
    """What is still to come, for a run with `steps_done` steps and `saved` checkpoints behind it."""
    run, directions = wanted.run, wanted.method.directions(wanted.run.batch_size)
    # An adapter's factors are float32, and A is saved whether it moves or not.
    factors = space_of(wanted.method).rank * sum(m.rows + m.cols for m in facts.matrices) * 4
    weights = sum(m.rows * m.cols for m in facts.moving) * dtype_of(dtype).itemsize
    scope = (factors if facts.scope == "adapter" else weights) + residual_bytes(facts, runtime=runtime, fold=fold)
    every, one_more = (
        interval_bytes(
            facts, Needs(run.batch_size, 1, 1, 1, intervals=count), wanted.method, dtype=dtype, device=device,
            runtime=runtime, fold=fold,
        )
        for count in (folds_of(wanted), folds_of(wanted) + 1)
    )  # fmt: skip
    if 0 < every < one_more:  # so few that all of them are kept
        scope = every
    line = _LINE + (_LOSSES * directions if directions > 1 else 0)
    # One at the end, and those on the way; an old one goes when the new one is whole.
    # A ratchet keeps the state of the least loss, the model as it came included.
    ratchet = wanted.method.ratchet
    often = (run.checkpoint_every, run.eval_every if run.checkpoint_best or ratchet else None)
    written = (
        1 + (ratchet and not steps_done) + sum(run.steps // every - steps_done // every for every in often if every)
    )
    kept = run.keep_checkpoints + run.checkpoint_best + ratchet
    return Disk(
        checkpoint=scope,
        checkpoints=max(1, min(saved + written, kept + 1) - saved),
        journal=(run.steps - steps_done) * line,
    )


def free_disk(folder: Path) -> tuple[int, Path]:
    """Bytes that are free where `folder` is or would be made, and the folder above it that is there."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free, folder
