"""The tuned model, as a folder that transformers loads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.runs.directory import RunDir
from engine.runs.lineage import Lineage, returns_of


def export_merged(run: RunDir, target: Path, dtype: str | None = None) -> int:
    """Write the tuned model into `target`; returns the number of steps in it.

    Its weights are in `dtype`; where that is None, in the run's precision, and those of a run in float32 in the base
    model's own. Raises `UserError`, `OSError`, and leaves nothing behind.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: is not an empty folder; give --to a new one")
    steps = list(run.journal())
    if not steps:
        raise UserError(f"{run.name}: has taken no step yet, there is nothing to export")
    wanted = run.preset()

    from engine.directions.low_rank import drawn_by
    from engine.directions.space import space_of
    from engine.export.folder import carry_along, write_config, write_weights, written_aside
    from engine.export.kept import Rounding
    from engine.export.rebuild import FoldingLoop
    from engine.models.facts import dtype_of
    from engine.models.headers import own_precision
    from engine.models.suitable import check_folder
    from engine.models.weights import read_pickles
    from engine.optimizer import Optimizer
    from engine.preflight.folds import fold_of, folds_for
    from engine.preflight.identity import model_of
    from engine.runtimes.training_loop import TrainingLoop
    from engine.updates.base import rule_of

    path = model_of(run, lambda level, text: _say(f"{level}: {text}"))
    info = run.info.read()
    common: dict[str, Any] = {
        "dtype": info.dtype,
        "device": "cpu",
        "space": space_of(wanted.method),
        "rule": rule_of(wanted.method),
        "seed": wanted.run.seed,
        "drawn": drawn_by(steps[0]),
        "experts": info.experts,
        "scope": wanted.method.scope,
        "trust_remote_code": wanted.model.trust_remote_code,
    }
    # The runtime that took the steps decides how low-precision weights were rounded.
    if info.runtime == "vllm":
        began = fold_of(info, wanted.model.fold)
        folds = folds_for(
            wanted.model.fold, began, dtype=info.dtype, device="cpu", runtime=info.runtime, scope=wanted.method.scope
        )
        loop: TrainingLoop = FoldingLoop(path, fold=folds.modes[0], **common)
    else:
        loop = TrainingLoop(path, **common)
    rounding = Rounding(loop.model)
    method = Optimizer(wanted.method, wanted.run.steps, "classification", wanted.run.seed)
    for number in Lineage(returns_of(steps), len(steps)):
        taken = steps[number]
        method.replay(loop, taken)
        if taken.step % 20 == 0:
            print(f"\rrebuilding: step {taken.step + 1}/{len(steps)}", end="", file=sys.stderr)
    loop.merge()
    print(f"\rrebuilding: step {len(steps)}/{len(steps)}", file=sys.stderr)
    base = Path(path)
    headers = check_folder(path) or read_pickles(base)
    ran_in, own = dtype_of(info.dtype), None
    exact = loop.model.dtype  # float32 where an adapter was merged, whatever the run was in
    if dtype is not None:
        main, why = dtype_of(dtype), "as asked for"
    elif info.dtype == "float32":
        main, why, own = own_precision(headers), "the model's own precision", headers
    else:
        main, why = ran_in, "as the run was"
    keeps = ""
    if main.itemsize < exact.itemsize and (kept := rounding.kept(main)) is not None:
        whole = str(exact).removeprefix("torch.")
        keeps = f"; rounding keeps {kept:.0%} of the update, --dtype {whole} all of it"
    _say(f"written in {str(main).removeprefix('torch.')}, {why}{keeps}")
    with written_aside(target) as folder:
        carry_along(base, folder, _say)
        write_config(base, folder, main, type(loop.model).__name__)
        write_weights(loop.model, folder, main, own)
    return len(steps)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
