"""`python -m engine.tune PRESET`: find a learning rate and an eps, from one loaded model.

PRESET is a file, or `-` for its text as one JSON string on standard input. Standard output is JSON lines
(`engine.protocol.findings`): what a few probes say, every trial as it stops or goes on, and a proposal. Nothing of it
is kept. `--leashed` ends it when standard input is closed. A preset that would be refused is refused: exit code 2;
where no trial learned anything the code is 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from pathlib import Path
from typing import Literal

from engine.asked import Read, Say, answer
from engine.errors import NotFinite, UserError
from engine.gpus import mask_gpus
from engine.preset.schema import Preset
from engine.protocol.events import Log, Phase
from engine.runs.home import home
from engine.stdio import leave


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m engine.tune")
    parser.add_argument("source", metavar="PRESET")
    parser.add_argument("--steps", type=int, help="of the longest trials")
    parser.add_argument("--examples", type=int, default=256, help="of the validation split, by which trials are judged")
    parser.add_argument("--leashed", action="store_true")
    arguments = parser.parse_args()

    def act(read: Read, say: Say) -> None:
        tune(read(), say, steps=arguments.steps, examples=arguments.examples)

    return answer("engine.tune", arguments.source, act, leashed=arguments.leashed, tidies=True)


def tune(wanted: Preset, say: Say, *, steps: int | None, examples: int) -> None:
    """Say what is found. Raises `UserError` where a run would be refused, `RunFailed` where no trial learned."""
    mask_gpus(wanted.model.device)

    def report(name: str, progress: float | None, detail: str) -> None:
        say(Phase(name=name, progress=progress, detail=detail))

    def note(level: Literal["info", "warning"], text: str) -> None:
        say(Log(level=level, text=text))

    from engine.preflight.open import open_run
    from engine.tune.session import find
    from engine.tune.trials import kept_base

    began = time.monotonic()
    folder = home() / "cache"
    _clear(folder)
    opened = open_run(wanted, report, note)
    try:
        with kept_base(opened.runtime, folder / f"tune-{os.getpid()}") as base:
            find(wanted, opened, base, say, report, steps=steps, most=examples, began=began)
    except NotFinite as fault:
        raise UserError(str(fault)) from None
    finally:
        opened.runtime.close()


def _clear(folder: Path) -> None:
    """Remove what processes left behind that were killed."""
    for left in folder.glob("tune-*"):
        pid = left.name.removeprefix("tune-")
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)


if __name__ == "__main__":
    leave(main())
