"""`python -m engine.evaluate PRESET`: what a model, or a state of a run, makes of a split of a task.

PRESET is a file, or `-` for its text as one JSON string on standard input: the model, and the task. With `--run` the
weights are those of the run's state after `--step`, and the run has it on record. Standard output is JSON lines
(`engine.protocol.findings`). `--leashed` ends it when standard input is closed; until the end nothing is written. What
would be refused is refused: exit code 2.

With `--try` nothing is measured: further lines of standard input are `Try` commands, each answered by `Tried`.
"""

from __future__ import annotations

import argparse
from queue import SimpleQueue
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
    parser.add_argument("--try", action="store_true", dest="prompts")
    arguments = parser.parse_args()
    lines: SimpleQueue[bytes] = SimpleQueue()

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

        if arguments.prompts:
            from engine.evaluate.trying import answer_prompts

            answer_prompts(asked, iter(lines.get, None), say, report, note)
        else:
            from engine.evaluate.session import evaluate

            say(evaluate(asked, report, note))

    # Whoever asks for answers is there for as long as there are questions.
    leashed = arguments.leashed or arguments.prompts
    return answer("engine.evaluate", arguments.source, act, leashed=leashed, hear=lines.put)


if __name__ == "__main__":
    leave(main())
