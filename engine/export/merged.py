"""The tuned model, as a folder that transformers loads."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.runs.directory import RunDir


def export_merged(run: RunDir, target: Path) -> int:
    """Write the tuned model into `target`; returns the number of steps in it. Raises `UserError`."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: is not an empty folder; give --to a new one")
    steps = list(run.journal())
    if not steps:
        raise UserError(f"{run.name}: has taken no step yet, there is nothing to export")
    wanted = run.preset()

    import torch

    from engine.directions.low_rank import drawn_by
    from engine.export.rebuild import FoldingLoop
    from engine.methods.lozo import Lozo
    from engine.models.tokenizer import read_tokenizer
    from engine.preflight.folds import fold_of, folds_for
    from engine.preflight.identity import model_of
    from engine.runtimes.training_loop import TrainingLoop

    path = model_of(run, lambda level, text: print(f"{level}: {text}", file=sys.stderr))
    info = run.info.read()
    common: dict[str, Any] = {
        "dtype": info.dtype,
        "device": "cpu",
        "rank": wanted.method.rank,
        "seed": wanted.run.seed,
        "drawn": drawn_by(steps[0]),
        "experts": info.experts,
        "trust_remote_code": wanted.model.trust_remote_code,
    }
    # The runtime that took the steps decides how low-precision weights were rounded.
    if info.runtime == "vllm":
        began = fold_of(info, wanted.model.fold)
        folds = folds_for(wanted.model.fold, began, dtype=info.dtype, device="cpu", runtime=info.runtime)
        loop: TrainingLoop = FoldingLoop(path, fold=folds.modes[0], **common)
    else:
        loop = TrainingLoop(path, **common)
    method = Lozo(wanted.method, wanted.run.steps, "classification")
    for taken in steps:
        method.replay(loop, taken)
        if taken.step % 20 == 0:
            print(f"\rrebuilding: step {taken.step + 1}/{len(steps)}", end="", file=sys.stderr)
    loop.redraw(len(steps))  # folds what the last interval learned
    print(f"\rrebuilding: step {len(steps)}/{len(steps)}", file=sys.stderr)
    aside = target.with_name(f".{target.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    with torch.inference_mode():
        loop.model.save_pretrained(aside)
    read_tokenizer(path, trust_remote_code=wanted.model.trust_remote_code).save_pretrained(aside)
    if target.exists():
        target.rmdir()
    aside.rename(target)
    return len(steps)
