"""How far an export is, on a line of its own that is written over; nothing where nobody watches."""

from __future__ import annotations

import sys
import time

_EVERY = 0.1  # seconds


class Progress:
    """A stage, such as "rebuilding: step", of so many parts."""

    def __init__(self, stage: str, of: int) -> None:
        self._stage, self._of = stage, of
        self._watched = sys.stderr.isatty()
        self._written = -_EVERY

    def at(self, part: int) -> None:
        """So many parts are done; after the last the line ends."""
        now, over = time.monotonic(), part == self._of
        if self._watched and (over or now - self._written >= _EVERY):
            self._written = now
            print(f"\r{self._stage} {part}/{self._of}", end="\n" if over else "", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """A line about the export, for people."""
    print(text, file=sys.stderr, flush=True)
