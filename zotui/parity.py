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

_COLUMNS = ("step", "loss plus", "reference", "loss minus", "reference", "g", "reference", "largest diff")
_WIDTHS = (6, 11, 11, 11, 11, 12, 12, 12)
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


class StepTimes:
    """How long the steps of both sides took, but for the first one, which also warms up."""

    def __init__(self) -> None:
        self._rows = 0
        self._taken: tuple[list[float], list[float]] = ([], [])

    def add(self, row: dict[str, Any]) -> None:
        """Take a row's times, where they are known."""
        self._rows += 1
        for taken, key in zip(self._taken, ("seconds", "reference_seconds"), strict=True):
            if row.get(key) and self._rows > 1:
                taken.append(row[key])

    def medians(self) -> tuple[float | None, float | None]:
        """Of ours and of the reference."""
        ours, theirs = (sorted(taken)[len(taken) // 2] if taken else None for taken in self._taken)
        return ours, theirs


def run_parity(comparison: Comparison, *, as_json: bool) -> int:
    """Print what a comparison finds; returns the exit code."""
    times = StepTimes()
    first = True
    try:
        for found in comparison.answers():
            if as_json:
                print(json.dumps(found), flush=True)
            elif found["type"] == "row":
                if first:
                    print(_line(_COLUMNS))
                first = False
                times.add(found)
                print(_row(found), flush=True)
            else:
                print(f"\n{_summary(found, times)}")
        return comparison.wait()
    finally:
        comparison.close()


def _row(row: dict[str, Any]) -> str:
    cells = [str(row["step"])]
    for key, digits in (("loss_plus", 7), ("loss_minus", 7), ("projected_grad", 5)):
        cells += [_number(row[key], f".{digits}f"), _number(row[f"reference_{key}"], f".{digits}f")]
    return _line((*cells, _number(row["loss_diff"], ".1e"))) + ("" if row["same_sign"] else "  other sign")


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True))


def _number(value: float | None, form: str) -> str:
    return "not finite" if value is None else format(value, form)


def _summary(found: dict[str, Any], times: StepTimes) -> str:
    verdict = "within" if found["ok"] else "NOT within"
    lines = [
        f"{found['runtime']} against {found['reference']}: {found['steps']} steps, {verdict} {found['tolerance']:g}",
        f"largest difference of a loss         {_number(found['max_loss_diff'], '.2e')} nats",
        f"largest difference of g over its rms {_number(found['max_grad_rel_diff'], '.2e')}",
        f"same sign of g                       {found['sign_agreement']:.1%} of the steps",
    ]
    if found["first_difference"] is not None:
        lines.append(f"first step beyond the tolerance: {found['first_difference']}")
    ours, theirs = times.medians()
    if ours and theirs:
        lines.append(f"median step: {ours:.3f} s, {theirs:.3f} s on the training loop ({theirs / ours:.1f}x)")
    return "\n".join(lines)
