"""`python -m engine.evaluate PRESET`: what a model, or a state of a run, makes of a split of a task.

PRESET is a file, or `-` for its text as one JSON string on standard input: the model, and the task. With `--run` the
weights are those of the run's state after `--step`, and the run has it on record. Standard output is JSON lines
(`engine.protocol.findings`). `--leashed` ends it when standard input is closed; until the end nothing is written. What
would be refused is refused: exit code 2.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Literal

from engine import environment
from engine.errors import EXIT_DONE, EXIT_INTERRUPTED, RunFailed, UserError, unforeseen
from engine.gpus import mask_gpus
from engine.preset.load import load, load_file
from engine.protocol.codec import encode
from engine.protocol.events import Error, Event, Log, Phase
from engine.runs.directory import RunDir
from engine.stdio import exit_code, leave, take_stdout


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m engine.evaluate")
    parser.add_argument("source", metavar="PRESET")
    parser.add_argument("--run")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--step", default="last")
    parser.add_argument("--leashed", action="store_true")
    arguments = parser.parse_args()
    answers = os.fdopen(take_stdout(), "wb", buffering=0)
    text = sys.stdin.buffer.readline() if arguments.source == "-" else b""
    if arguments.leashed:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    environment.prepare()

    def say(event: Event) -> None:
        answers.write(encode(event))

    def report(name: str, progress: float | None, detail: str) -> None:
        say(Phase(name=name, progress=progress, detail=detail))

    def note(level: Literal["info", "warning"], text: str) -> None:
        say(Log(level=level, text=text))

    def act() -> int:
        try:
            from engine.evaluate.asked import Asked

            wanted = load("preset", json.loads(text)) if text else load_file(Path(arguments.source))
            run = RunDir.find(arguments.run) if arguments.run else None
            asked = Asked.of(wanted, run, arguments.split, arguments.step)
            mask_gpus(wanted.model.device)

            from engine.evaluate.session import evaluate

            say(evaluate(asked, report, note))
        except (UserError, RunFailed) as error:
            say(Error(kind="usage" if isinstance(error, UserError) else "failure", text=str(error)))
            raise
        except Exception as error:  # noqa: BLE001 - the last resort, as in `engine.__main__`
            traceback.print_exc()
            told, code = unforeseen(error)
            say(Error(kind="start", text=f"{told}; `python -m engine.evaluate PRESET.toml` shows where"))
            return code
        return EXIT_DONE

    return exit_code(act)


def _end_with_stdin() -> None:
    """Whoever asked is gone, and so is whoever would stop this."""
    while os.read(0, 4096):
        pass
    os._exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    leave(main())
