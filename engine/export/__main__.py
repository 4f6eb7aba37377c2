"""`python -m engine.export RUN DIR`: the tuned model, or an adapter of it, as a folder that others load.

The weights are rebuilt on the CPU from the base model and the journal (`engine.export.rebuild`).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from engine.environment import prepare
from engine.errors import EXIT_DONE, UserError
from engine.runs.directory import RunDir
from engine.runs.home import home
from engine.stdio import exit_code

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """The command; its one line of data is the folder."""
    parser = argparse.ArgumentParser(prog="python -m engine.export")
    parser.add_argument("run")
    parser.add_argument("target", type=Path)
    parser.add_argument("--format", choices=("merged", "adapter"), default="merged")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--rank", type=int)
    parser.add_argument("--step", default="last")
    arguments = parser.parse_args()
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, _interrupt)
    prepare()
    os.environ.setdefault("ZOTUI_HOME", str(home()))
    return exit_code(lambda: _export(arguments))


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Unwind, and take back what was written; a second signal must not break that off."""
    for one in _SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt


def _export(arguments: argparse.Namespace) -> int:
    run, target = RunDir.find(arguments.run), arguments.target
    try:
        if arguments.format == "adapter":
            from engine.export.adapter import export_adapter

            steps, what = export_adapter(run, target, arguments.rank, arguments.step), "the adapter"
        else:
            from engine.export.merged import export_merged

            steps, what = export_merged(run, target, arguments.dtype, arguments.step), "the model"
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror}); nothing of it was left") from None
    print(f"{what} after {steps} steps is in {target}", file=sys.stderr)
    print(target)
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
