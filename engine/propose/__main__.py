"""`python -m engine.propose FILE --model M`: a preset for somebody's own data.

Standard output is JSON lines (`engine.protocol.findings`): the preset's text, why each key was chosen, and the first
rows as the model sees them. `--set key=value` decides what is not to be proposed. Nothing is written. `--leashed` ends
it when standard input is closed. A file of which nothing can be made is refused: exit code 2.
"""

from __future__ import annotations

import argparse

from engine.asked import Read, Say, answer
from engine.protocol.events import Phase
from engine.stdio import leave


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m engine.propose")
    parser.add_argument("data", metavar="FILE")
    parser.add_argument("--model", required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    parser.add_argument("--leashed", action="store_true")
    arguments = parser.parse_args()

    def act(read: Read, say: Say) -> None:
        from engine.propose.session import draft

        def report(detail: str) -> None:
            say(Phase(name="looking", detail=detail))

        say(draft(arguments.data, arguments.model, arguments.changes, report))

    return answer("engine.propose", arguments.data, act, leashed=arguments.leashed)


if __name__ == "__main__":
    leave(main())
