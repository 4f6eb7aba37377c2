"""The one exception that is shown to people, and the exit codes."""

from __future__ import annotations

import traceback
from pathlib import Path

from engine.text import plain

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class UserError(Exception):
    """A mistake that the user can mend: usage, preset or data.

    The message is one line that says what is wrong, where, and what to do. Whoever catches it
    prints it without a traceback and exits with `EXIT_USAGE`. It quotes files, so that it is made plain.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(plain(message).split()))


class NotFinite(Exception):
    """A loss, gradient or update that is not a finite number; nothing of it reached the weights or the records.

    The message is one line that says what was found, where, and what to try.
    """


class RunFailed(Exception):
    """A run that cannot go on, for a reason that the message tells in one line, with the remedy.

    What was journaled is sound; whoever catches it exits with `EXIT_FAILED`.
    """


def unforeseen(error: BaseException) -> tuple[str, int]:
    """What nobody foresaw before a run's first step, in one line; and the exit code, by whose fault it is.

    What a library raises is of the model, the data or the machine that it was given: `EXIT_USAGE`. What our own code
    raises is ours: `EXIT_FAILED`.
    """
    frames = traceback.extract_tb(error.__traceback__)
    ours = bool(frames) and Path(frames[-1].filename).is_relative_to(Path(__file__).parent)
    what = plain(f"{type(error).__name__}: {first_line(error)}" if str(error).strip() else type(error).__name__)
    if ours:
        return f"a fault of zotui's own before the first step ({what}); please report it", EXIT_FAILED
    return f"the run cannot start: a library failed on its model, its data or this machine ({what})", EXIT_USAGE


def first_line(error: BaseException) -> str:
    """What an error of a library says, in at most 200 characters of one line; its kind where it says nothing."""
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:200]
