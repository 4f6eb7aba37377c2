"""`python -m tests.faults [--long] [--only NAME ...]`: the fault table of this checkout, on this machine."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.table import ROWS, lines, work
from tests.faults.workshop import Workshop


def main() -> int:
    """Print the table; 1 if a fault was not survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--long", action="store_true", help="many more tries")
    parser.add_argument("--only", nargs="+", choices=[row.name for row in ROWS], metavar="NAME", help="these rows")
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which faults strike")
    parser.add_argument("--jobs", type=int, default=2, help="rows that are worked on at a time")
    arguments = parser.parse_args()
    rows = [row for row in ROWS if not arguments.only or row.name in arguments.only]
    folder = Path(tempfile.mkdtemp(prefix="zotui-faults-"))
    shop = Workshop(folder, long=arguments.long, seed=arguments.seed)
    found = []
    began = time.monotonic()
    try:
        for row, outcome in work(shop, rows, arguments.jobs):
            found.append((row, outcome))
            state = "skipped" if outcome.skipped else "survived" if outcome.fine else "FAILED"
            print(f"{time.monotonic() - began:6.0f} s  {row.fault}: {state}", file=sys.stderr)
            if outcome.failed:
                print(outcome.failed, file=sys.stderr)
    finally:
        shop.close()
    print("\n".join(lines(found)))
    seconds, cores = time.monotonic() - began, os.cpu_count()
    print(f"\n{time.strftime('%Y-%m-%d')}, {cores} cores, {platform.machine()}, seed {arguments.seed}, {seconds:.0f} s")
    if all(outcome.fine for _, outcome in found):
        shutil.rmtree(folder)
        return 0
    print(f"what was left of the runs is in {folder}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
