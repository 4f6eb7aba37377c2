"""What the method works with at the step that a run has reached: its rate, eps, and how far its probes are apart."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from engine.control.schedule import rate
from engine.protocol.events import Changed
from engine.runs.signal import WINDOW
from zotui.app.state.run_state import RunState
from zotui.text import numbers


class MethodNow(NamedTuple):
    """Null for what is not known."""

    name: str | None
    lr: float | None  # of the newest step: schedules, returns and changes have moved it; before it, of the next
    eps: float | None
    spread: float | None  # nats, median of the last steps; see `zotui.runs.steps.Steps`
    directions: int | None  # of a step

    def words(self, *, spread: bool = True) -> str:
        """On a line: `fast  lr 0.0002  eps 0.001  spread 0.0123`, as much of it as is known."""
        figures = (("lr", self.lr), ("eps", self.eps), ("spread", self.spread if spread else None))
        told = [f"{name} {numbers.significant(value)}" for name, value in figures if value is not None]
        return "  ".join([*([self.name] if self.name else []), *told])


def method_now(run: RunState) -> MethodNow:
    """Of a run as it is now, watched or read from its records."""
    method = run.resolved.method if run.resolved else None
    now = run.in_force
    lr, eps = _newest(run, "lr"), _newest(run, "eps")
    if now is not None and (lr is None or _is_next(run, now)):
        lr, eps = now.lr, now.eps
        if method is not None and run.steps:
            here = method.model_copy(update={"lr": now.lr})
            lr = rate(here, min(run.done, run.steps - 1), run.steps)
    elif now is not None and eps is None:
        eps = now.eps
    spreads = np.array(run.curves.column("spread")[-WINDOW:])
    spreads = spreads[np.isfinite(spreads)]
    return MethodNow(
        name=method.name if method else None, lr=lr, eps=eps,
        spread=float(np.median(spreads)) if len(spreads) else None,
        directions=method.directions(run.resolved.run.batch_size) if method and run.resolved else None,
    )  # fmt: skip


def _is_next(run: RunState, changed: Changed) -> bool:
    """Whether it is for the step that comes: a paused run shows what it goes on with."""
    return run.taken > 0 and changed.step > run.curves.column("step")[-1]


def _newest(run: RunState, column: str) -> float | None:
    value = run.curves.column(column)[-1] if run.taken else math.nan
    return value if math.isfinite(value) else None
