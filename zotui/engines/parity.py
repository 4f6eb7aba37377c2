"""`zotui parity`: start the comparing engine, pass its rows on or set them as a table."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

_TAIL = 16384  # bytes of the log that are worth a look
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Comparison:
    """A running `python -m engine.parity`. Nothing is lost when it is ended early."""

    COMMAND: ClassVar[tuple[str, ...]] = (sys.executable, "-P", "-m", "engine.parity")
    """What compares (-P: not a folder called engine here); tests put a scripted one in its place."""

    def __init__(self, source: Path, tolerance: float, options: Sequence[str], *, hushed: bool = False) -> None:
        self.source = source
        self.tolerance = tolerance
        # Without a name: nothing is left behind, however this ends.
        self._log = tempfile.TemporaryFile() if hushed else None  # noqa: SIM115 - it lives as long as this
        self._process = subprocess.Popen(
            [*self.COMMAND, f"--tolerance={tolerance}", *options, "--", str(source)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    @property
    def recorded(self) -> bool:
        """Whether the reference is a recording; else it is another runtime."""
        return self.source.suffix == ".json"

    def answers(self) -> Iterator[dict[str, Any]]:
        """Its rows, and the summary. What was cut off by its end is skipped."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                yield json.loads(line)
            except ValueError:
                continue

    def log_tail(self, lines: int) -> list[str]:
        """The last lines of what it said, if it was hushed."""
        if self._log is None:
            return []
        descriptor = self._log.fileno()
        # pread: the child writes at the position that both share.
        said = os.pread(descriptor, _TAIL, max(0, os.fstat(descriptor).st_size - _TAIL)).decode(errors="replace")
        shown = (_CONTROL.sub("", line.rpartition("\r")[2]).rstrip() for line in said.replace("\r\n", "\n").split("\n"))
        return [line for line in shown if line][-lines:]

    def close(self) -> None:
        """End it at once, should it still run."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        """Its exit code (128 + n when signal n ended it), once it has ended."""
        code = self._process.wait()
        return 128 - code if code < 0 else code
