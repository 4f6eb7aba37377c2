"""`python -m engine.export RUN DIR`: the tuned model, as a folder that transformers loads.

The weights are rebuilt on the CPU from the base model and the journal, the way the run's own runtime
moved them: `vllm` folds what an interval learned, `training-loop` moves the weights at every step.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from engine import environment
from engine.command import exit_code
from engine.errors import EXIT_DONE, UserError
from engine.rundir import RunDir, home


def export_merged(run: RunDir, target: Path) -> int:
    """Write the tuned model into `target`; returns the number of steps in it. Raises `UserError`."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: is not an empty folder; give --to a new one")
    records = list(run.journal())
    if not records:
        raise UserError(f"{run.name}: has taken no step yet, there is nothing to export")
    wanted = run.preset()

    import torch

    from engine.fold import choose_fold
    from engine.folding import FoldingLoop
    from engine.lozo import Lozo
    from engine.model_files import read_tokenizer
    from engine.opening import model_of
    from engine.training_loop import TrainingLoop

    path = model_of(run, lambda level, text: print(f"{level}: {text}", file=sys.stderr))
    info = run.info.read()
    common: dict[str, Any] = {
        "dtype": info["dtype"],
        "device": "cpu",
        "rank": wanted.method.rank,
        "seed": wanted.run.seed,
        "trust_remote_code": wanted.model.trust_remote_code,
    }
    # The runtime that took the steps decides how low-precision weights were rounded.
    if info["runtime"] == "vllm":
        loop: TrainingLoop = FoldingLoop(path, fold=choose_fold(wanted.model.fold, info["dtype"]), **common)
    else:
        loop = TrainingLoop(path, **common)
    method = Lozo(wanted.method, wanted.run.steps, "classification")
    for record in records:
        method.replay(loop, record)
        if record["step"] % 20 == 0:
            print(f"\rrebuilding: step {record['step'] + 1}/{len(records)}", end="", file=sys.stderr)
    loop.redraw(records[-1]["step"] + 1)  # folds what the last interval learned
    print(f"\rrebuilding: step {len(records)}/{len(records)}", file=sys.stderr)
    aside = target.with_name(f".{target.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    with torch.inference_mode():
        loop.model.save_pretrained(aside)
    read_tokenizer(path, trust_remote_code=wanted.model.trust_remote_code).save_pretrained(aside)
    if target.exists():
        target.rmdir()
    aside.rename(target)
    return len(records)


def main() -> int:
    """The command; its one line of data is the folder."""
    parser = argparse.ArgumentParser(prog="python -m engine.export")
    parser.add_argument("run")
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    environment.prepare()
    os.environ.setdefault("ZOTUI_HOME", str(home()))
    return exit_code(lambda: _export(arguments.run, arguments.target))


def _export(name: str, target: Path) -> int:
    try:
        steps = export_merged(RunDir.find(name), target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})") from None
    print(f"the model after {steps} steps is in {target}", file=sys.stderr)
    print(target)
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
