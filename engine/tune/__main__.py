"""`python -m engine.tune PRESET`: find a learning rate and an eps, from one loaded model.

PRESET is a file, or `-` for its text as one JSON string on standard input. Standard output is JSON lines
(`engine.protocol.findings`): what a few probes say, every trial as it stops or goes on, and a proposal. Nothing of it
is kept. `--leashed` ends it when standard input is closed. A preset that would be refused is refused: exit code 2;
where no trial learned anything the code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from engine import environment
from engine.errors import EXIT_DONE, NotFinite, RunFailed, UserError, unforeseen
from engine.gpus import mask_gpus
from engine.preset.load import load, load_file
from engine.preset.schema import Preset
from engine.protocol.codec import encode
from engine.protocol.events import Error, Event, Log, Phase
from engine.runs.home import home
from engine.stdio import exit_code, leave, take_stdout


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m engine.tune")
    parser.add_argument("source", metavar="PRESET")
    parser.add_argument("--steps", type=int, help="of the longest trials")
    parser.add_argument("--examples", type=int, default=256, help="of the validation split, by which trials are judged")
    parser.add_argument("--leashed", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's background jobs begin with it ignored
    answers = os.fdopen(take_stdout(), "wb", buffering=0)
    text = sys.stdin.buffer.readline() if arguments.source == "-" else b""
    if arguments.leashed:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    environment.prepare()

    def say(event: Event) -> None:
        answers.write(encode(event))

    def act() -> int:
        try:
            wanted = load("preset", json.loads(text)) if text else load_file(Path(arguments.source))
            tune(wanted, say, steps=arguments.steps, examples=arguments.examples)
        except (UserError, RunFailed) as error:
            say(Error(kind="usage" if isinstance(error, UserError) else "failure", text=str(error)))
            raise
        except Exception as error:  # noqa: BLE001 - the last resort, as in `engine.__main__`
            traceback.print_exc()
            told, code = unforeseen(error)
            say(Error(kind="start", text=f"{told}; `python -m engine.tune PRESET.toml` shows where"))
            return code
        return EXIT_DONE

    return exit_code(act)


def tune(wanted: Preset, say: Callable[[Event], None], *, steps: int | None, examples: int) -> None:
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


def _end_with_stdin() -> None:
    """Whoever asked is gone, and so is whoever would stop this: as if interrupted, so that nothing is left behind."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    leave(main())
