"""`python -m tests.methods`: every method and combination of pieces on every layout, on both runtimes.

In float32 on the CPU, at tiny models with random weights: 30 steps with two changes of basis, by packed passes and by
the conventional loop; then a checkpoint and the journal rebuilt to the bit, on either. The exit code is 1 if losses or
weights differ by more than the tests allow, or a rebuilt state by a bit.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from engine.environment import prepare, prepare_device
from engine.stdio import leave, take_stdout

TOLERANCE = 1e-5  # nats, as `tests/engine/methods/test_both_runtimes.py` has it
LAYOUTS = ("opt", "llama", "qwen2", "qwen3", "gemma2", "phi", "qwen3-moe", "mixtral")


def main() -> int:
    """Print the table."""
    data = take_stdout()
    prepare()
    prepare_device("cpu")
    import torch

    from tests.families.models import write_model
    from tests.methods.cases import CASES, INTERVAL
    from tests.methods.compare import BATCH, apart, rebuilds
    from tests.methods.one_engine import OneEngine

    torch.set_num_threads(1)  # models as tiny as these are quicker so
    parser = argparse.ArgumentParser(prog="python -m tests.methods", description=__doc__)
    parser.add_argument("--layout", nargs="+", choices=LAYOUTS, default=LAYOUTS)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    asked = parser.parse_args()
    fine = True
    os.write(data, b"| layout | method | losses | weights | rebuilt |\n|---|---|---|---|---|\n")
    with TemporaryDirectory() as folder:
        for layout in asked.layout:
            engine = OneEngine(write_model(layout, Path(folder)), batch=BATCH)
            for case in asked.case:
                found, same = apart(engine, case), rebuilds(engine, case, INTERVAL)
                lost = [name for name, held in same.items() if not held]
                good = found.losses < TOLERANCE and found.weights < TOLERANCE < found.moved and not lost
                fine = fine and good
                told = f"not {', '.join(lost)}" if lost else "to the bit"
                line = f"| {layout} | {case} | {found.losses:.1e} | {found.weights:.1e} | {told} |\n"
                os.write(data, line.encode())
                print(layout, case, found, "" if good else "NO", file=sys.stderr)
            engine.close()
    return 0 if fine else 1


if __name__ == "__main__":
    leave(main())
