"""An engine that is asked something, without a run: it answers in findings, and ends with the process that asked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import ClassVar

from engine.protocol.findings import Finding, decode
from engine.protocol.frames import frames


class AskedEngine:
    """The process, by its module (`engine.preflight`, `engine.tune`). Nothing is lost when it is ended early."""

    COMMAND: ClassVar[tuple[str, ...]]
    """What runs it; tests put a scripted one in its place."""

    def __init__(self, arguments: Sequence[str], text: str = "") -> None:
        """`text` is the preset's, where an argument is `-`."""
        self._process = subprocess.Popen(
            [*self.COMMAND, "--leashed", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.tell(json.dumps(text).encode() + b"\n")

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def tell(self, line: bytes) -> bool:
        """Write a line to its standard input; false where it has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def findings(self) -> Iterator[Finding]:
        """What it finds, until it ends. Lines that are no finding are skipped."""
        stdout = self._process.stdout
        assert stdout is not None
        for found in frames(stdout.read1, decode):  # type: ignore[attr-defined] # it is buffered
            if found is not None:
                yield found

    def close(self) -> None:
        """End it at once, should it still run; its memory is free again then."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        """Its exit code (128 + n when signal n ended it), once it has ended."""
        code = self._process.wait()
        return 128 - code if code < 0 else code


def command(module: str) -> tuple[str, ...]:
    """What runs a module of the engine (-P: not a folder called engine here)."""
    return sys.executable, "-P", "-m", module
