"""Whether there is somebody to draw for."""

from __future__ import annotations

import sys


def has_terminal() -> bool:
    """Whether there is a terminal to draw on, and a keyboard."""
    # Textual draws on stderr.
    return sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()
