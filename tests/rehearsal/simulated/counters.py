"""What the host asks of the simulated card: kernels, waits, and the lines of code that cause them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Frames in which a launch or a wait has no cause of its own.
_NOT_CAUSES = ("/torch/", "/triton/", "/tests/rehearsal/simulated/", "/contextlib.py", "/functools.py")
_ROOT = f"{Path(__file__).parents[3]}/"


@dataclass(frozen=True)
class Launch:
    """A kernel of a recorded graph: its name, the line that launched it, and what does it once more."""

    name: str
    line: str
    again: Callable[[], None]


class Counters:
    """Counts since the last `restart`; what is recorded into a graph counts when the graph is replayed.

    Attributes: tape, to which what is launched is appended while a graph is recorded, else None.
    """

    def __init__(self) -> None:
        self.tape: list[Launch] | None = None
        self.restart()

    def restart(self) -> None:
        """Begin at nothing."""
        self.kernels: Counter[str] = Counter()  # by name
        self.kernel_lines: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()  # by what waits, and where
        self.replays = 0
        self.replayed_kernels = 0

    def kernel(self, name: str, again: Callable[[], None]) -> None:
        """The host launched a kernel or a copy; `again` does it once more."""
        line = _line()
        if self.tape is not None:
            self.tape.append(Launch(name, line, again))
            return
        self.kernels[name] += 1
        self.kernel_lines[line] += 1

    def replayed(self, tape: list[Launch]) -> None:
        """A recorded graph was launched."""
        self.replays += 1
        self.replayed_kernels += len(tape)
        self.kernels.update(launch.name for launch in tape)
        self.kernel_lines.update(launch.line for launch in tape)

    def wait(self, what: str) -> None:
        """The host waits until the card is done. Raises RuntimeError while a graph is recorded, as CUDA does."""
        if self.tape is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing: {what}, {_line()}")
        self.waits[f"{what} {_line()}"] += 1

    def told(self) -> dict[str, Any]:
        """All counts, for JSON."""
        return {
            "kernels": sum(self.kernels.values()),
            "waits": sum(self.waits.values()),
            "launches": sum(self.kernels.values()) - self.replayed_kernels + self.replays,
            "replays": self.replays,
            "kernel_names": dict(self.kernels.most_common()),
            "kernel_lines": dict(self.kernel_lines.most_common(20)),
            "wait_lines": dict(self.waits.most_common()),
        }


def _line() -> str:
    """The innermost frame that is a cause, as file:line."""
    frame = sys._getframe(2)
    while frame.f_back is not None and any(part in frame.f_code.co_filename for part in _NOT_CAUSES):
        frame = frame.f_back
    path = frame.f_code.co_filename
    short = path.rpartition("site-packages/")[2] if "site-packages/" in path else path.removeprefix(_ROOT)
    return f"{short}:{frame.f_lineno}"


counters = Counters()
