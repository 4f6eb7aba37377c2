"""`python -m engine.propose FILE --model M`: a preset for somebody's own data.

Standard output is JSON lines (`engine.protocol.findings`): the preset's text, why each key was chosen, and the first
rows as the model sees them. `--set key=value` decides what is not to be proposed. Nothing is written. `--leashed` ends
it when standard input is closed. A file of which nothing can be made is refused: exit code 2.

`--follow` answers each line of standard input, a JSON list of what is decided (`key=value`), by another proposal or the
fault that there is none for, from the file and the model as they were read at first. It is leashed.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from queue import SimpleQueue

import msgspec

from engine.asked import Read, Say, answer
from engine.errors import UserError
from engine.protocol.events import Error, Phase
from engine.stdio import leave


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m engine.propose")
    parser.add_argument("data", metavar="FILE")
    parser.add_argument("--model", required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    parser.add_argument("--leashed", action="store_true")
    parser.add_argument("--follow", action="store_true")
    arguments = parser.parse_args()
    questions: SimpleQueue[list[str]] = SimpleQueue()

    def hear(line: bytes) -> None:
        with suppress(msgspec.DecodeError):  # the first line is the text of a preset, which there is none
            questions.put(msgspec.json.decode(line, type=list[str]))

    def act(read: Read, say: Say) -> None:
        from engine.propose.session import Session

        session = Session(arguments.data, arguments.model)

        def report(detail: str) -> None:
            say(Phase(name="looking", detail=detail))

        if not arguments.follow:
            say(session.draft(arguments.changes, report))
        while arguments.follow:
            changes = [*arguments.changes, *questions.get()]
            try:
                say(session.draft(changes, report))
            except UserError as error:
                say(Error(kind="usage", text=str(error)))

    leashed = arguments.leashed or arguments.follow
    return answer("engine.propose", arguments.data, act, leashed=leashed, hear=hear)


if __name__ == "__main__":
    leave(main())
