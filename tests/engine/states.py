"""What a checkpoint has of a run's state: its file, and the weights that it leads to."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from engine.directions.intervals import read_intervals
from engine.export.rebuild import base_loop
from engine.preflight.demo import with_demo
from engine.runs.directory import RunDir


def saved(run: Path, step: int) -> Path:
    """The file of the checkpoint after so many steps."""
    (file,) = (run / f"checkpoints/step-{step:08d}").glob("*.safetensors")
    return file


def weights_of(run: Path, step: int) -> dict[str, torch.Tensor]:
    """The matrices, and their residuals: as they were written, or folded again, by the loop that an export takes."""
    file = saved(run, step)
    if file.name == "weights.safetensors":
        return load_file(file)
    directory = RunDir(run)
    wanted = directory.preset()
    path, _ = with_demo(wanted, lambda *_: None)
    chosen: Any = SimpleNamespace(run=directory, wanted=wanted, steps=[*directory.journal()] or [None])
    loop = base_loop(chosen, path)
    learned, weights = loop.learned, loop._moves.weights
    names = [state.matrix.name for state in learned.states]
    with safe_open(file, framework="pt") as opened:
        for one in read_intervals(opened, names, learned.by_matrix, learned.learned):
            learned.draw_basis(one.began)
            learned.learned.copy_(one.learned)
            for state in learned.states:
                state.fold_into(weights[state.matrix.name], one.folded)
    residuals = {f"{one.matrix.name}.residual": one.fold.residual for one in learned.states}
    return {**weights, **{name: value for name, value in residuals.items() if value is not None}}
