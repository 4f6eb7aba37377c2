"""The engine's log is its standard error, where everything goes that libraries print. It must not end a run."""

from __future__ import annotations

import io
import sys
from typing import Any


class _Forgiving(io.FileIO):
    """Where the disk is full, a line of the log is lost, not the run that would have written it."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def take_over() -> None:
    """From now on whatever this process prints goes to its standard error, and printing never fails."""
    file = io.BufferedWriter(_Forgiving(2, "wb", closefd=False))
    sys.stderr = sys.stdout = io.TextIOWrapper(file, errors="backslashreplace", line_buffering=True)
