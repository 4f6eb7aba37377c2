"""`python -m engine.export RUN DIR`: the tuned model, as a folder that transformers loads.

The weights are rebuilt on the CPU from the base model and the journal, the way the run's own runtime
moved them: `vllm` folds what an interval learned, `training-loop` moves the weights at every step.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from engine.environment import prepare
from engine.errors import EXIT_DONE, UserError
from engine.export.merged import export_merged
from engine.runs.directory import RunDir
from engine.runs.home import home
from engine.stdio import exit_code


def main() -> int:
    """The command; its one line of data is the folder."""
    parser = argparse.ArgumentParser(prog="python -m engine.export")
    parser.add_argument("run")
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    prepare()
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
