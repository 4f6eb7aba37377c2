"""Other commands of the engine as a part starts them: their lines, and what they say when they refuse or fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engine.errors import EXIT_USAGE, RunFailed, UserError


def output(log: Path, *arguments: str, fine: tuple[int, ...] = (0,)) -> list[bytes]:
    """The lines that `python -m ARGUMENTS` prints; what it logs goes to the end of `log`.

    Raises `UserError` with its words where it refuses, and `RunFailed` where it ends with a code that is not `fine`.
    """
    before = log.stat().st_size
    with log.open("ab") as errors:
        command = [sys.executable, "-P", "-m", *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
    if done.returncode in fine:
        return done.stdout.splitlines()
    with log.open("rb") as file:
        file.seek(before)
        said = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    told = [line.removeprefix("zotui: ") for line in said if line.startswith("zotui: ")]
    words = (told or said or ["it said nothing"])[-1]
    if done.returncode == EXIT_USAGE:
        raise UserError(words)
    raise RunFailed(f"{arguments[0]} ended with {done.returncode}: {words}")
