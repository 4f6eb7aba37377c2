"""A process that is asked about a preset, without a run, and answers in findings (`engine.protocol.findings`).

The preset is a file, or `-` for its text as one JSON string, the first line of standard input. Leashed, the process
ends when standard input is closed: whoever asked is gone, and so is whoever would stop it.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from engine import environment
from engine.errors import EXIT_DONE, EXIT_INTERRUPTED, RunFailed, UserError, unforeseen
from engine.preset.load import load, load_file
from engine.preset.schema import Preset
from engine.protocol.codec import encode
from engine.protocol.events import Error, Event
from engine.protocol.frames import lines
from engine.stdio import exit_code, take_stdout

Say = Callable[[Event], None]
Read = Callable[[], Preset]
"""Raises `UserError` where the preset is not valid."""


def answer(
    module: str,
    source: str,
    act: Callable[[Read, Say], None],
    *,
    leashed: bool,
    tidies: bool = False,
    hear: Callable[[bytes], object] = bool,
) -> int:
    """Let `act` say what it finds, on standard output; returns the exit code. What goes wrong is said there, too.

    tidies: `act` removes files of its own in the end, and so is interrupted where it would otherwise be ended at once.
    hear: is told each further line of standard input, leashed, on a thread of its own.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's background jobs begin with it ignored
    answers = os.fdopen(take_stdout(), "wb", buffering=0)
    text = _first_line() if source == "-" else b""
    if leashed:
        threading.Thread(target=_end_with_stdin, args=[tidies, hear], daemon=True).start()
    environment.prepare()

    def read() -> Preset:
        return load("preset", json.loads(text)) if text else load_file(Path(source))

    def say(event: Event) -> None:
        answers.write(encode(event))

    def told() -> int:
        try:
            act(read, say)
        except (UserError, RunFailed) as error:
            say(Error(kind="usage" if isinstance(error, UserError) else "failure", text=str(error)))
            raise
        except Exception as error:  # noqa: BLE001 - the last resort, as in `engine.__main__`
            traceback.print_exc()
            line, code = unforeseen(error)
            say(Error(kind="start", text=f"{line}; `python -m {module} PRESET.toml` shows where"))
            return code
        return EXIT_DONE

    return exit_code(told)


def _first_line() -> bytes:
    """Of standard input, and nothing of what follows: that is read elsewhere."""
    read = bytearray()
    while not read.endswith(b"\n") and (byte := os.read(0, 1)):
        read += byte
    return bytes(read)


def _end_with_stdin(tidies: bool, hear: Callable[[bytes], object]) -> None:
    for line in lines(partial(os.read, 0)):
        if line is not None:
            hear(line)
    if tidies:
        os.kill(os.getpid(), signal.SIGINT)
    else:
        os._exit(EXIT_INTERRUPTED)
