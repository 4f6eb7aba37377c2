"""`python -m tests.families`: does vLLM take each family by packed passes, and are the steps those of the plain loop?

In float32 on the CPU, at tiny models with random weights. The exit code is 1 if one that vLLM takes goes another way.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from engine.environment import prepare, prepare_device
from engine.stdio import leave, take_stdout

if TYPE_CHECKING:
    from tests.families.compare import Measured

STEPS, INTERVAL = 13, 5
TOLERANCE = 1e-5  # nats, as `tests/engine/parity` has it
_HEAD = ("family", "in vLLM", "packed", "from the public API", "losses", "weights")


def main() -> int:
    """Print the table."""
    data = take_stdout()
    prepare()
    prepare_device("cpu")
    import torch

    from tests.families.compare import measure
    from tests.families.models import FAMILIES, write_model

    torch.set_num_threads(1)  # models as tiny as these are quicker so
    parser = argparse.ArgumentParser(prog="python -m tests.families", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=FAMILIES, default=FAMILIES, metavar="FAMILY")
    found: list[Measured] = []
    with TemporaryDirectory() as folder:
        for name in parser.parse_args().only:
            found.append(measure(write_model(name, Path(folder)), steps=STEPS, interval=INTERVAL))
            print(found[-1], file=sys.stderr)
    rows = [_HEAD, *map(_row, found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    told = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines = [told[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *told[1:]]
    os.write(data, "".join(f"{line}\n" for line in lines).encode())
    return 0 if all(one.lacking or (one.packed and one.losses < TOLERANCE) for one in found) else 1


def _row(one: Measured) -> tuple[str, ...]:
    if one.lacking:
        return (one.family, one.lacking.partition(" (")[0], "", "", "", "")
    figures = (f"{figure:.1e}" for figure in (one.public, one.losses, one.weights))
    return (one.family, one.model, "yes" if one.packed else "no", *figures)


if __name__ == "__main__":
    leave(main())
