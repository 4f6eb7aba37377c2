"""`python -m engine.evaluate PRESET`: what a model, or a state of a run, makes of a split of a task.

PRESET is a file, or `-` for its text as one JSON string on standard input: the model, and the task. With `--run` the
weights are those of the run's state after `--step`, and the run has it on record. Standard output is JSON lines
(`engine.protocol.findings`). `--leashed` ends it when standard input is closed; until the end nothing is written. What
would be refused is refused: exit code 2.
"""

from __future__ import annotations

import argparse
from typing import Literal

from engine.asked import Read, Say, answer
from engine.gpus import mask_gpus
from engine.protocol.events import Log, Phase
from engine.runs.directory import RunDir
from engine.stdio import leave


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m engine.evaluate")
    parser.add_argument("source", metavar="PRESET")
    parser.add_argument("--run")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--step", default="last")
    parser.add_argument("--leashed", action="store_true")
    arguments = parser.parse_args()

    def act(read: Read, say: Say) -> None:
        def report(name: str, progress: float | None, detail: str) -> None:
            say(Phase(name=name, progress=progress, detail=detail))

        def note(level: Literal["info", "warning"], text: str) -> None:
            say(Log(level=level, text=text))

        from engine.evaluate.asked import Asked

        wanted = read()
        run = RunDir.find(arguments.run) if arguments.run else None
        asked = Asked.of(wanted, run, arguments.split, arguments.step)
        mask_gpus(wanted.model.device)

        from engine.evaluate.session import evaluate

        say(evaluate(asked, report, note))

    return answer("engine.evaluate", arguments.source, act, leashed=arguments.leashed)


if __name__ == "__main__":
    leave(main())
