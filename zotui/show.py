"""What `zotui show` says of a run besides its evaluations: its time, and its signal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from engine.errors import UserError
from engine.rundir import RunDir
from engine.signal_figures import Figures, Signal
from engine.stopwatch import time_spent

_BARS = "▁▂▃▄▅▆▇█"


def time_of(run: RunDir) -> dict[str, float] | None:
    """Measured seconds by kind; None where the journal is damaged."""
    try:
        return time_spent(run)
    except UserError:
        return None


def best_of(run: RunDir) -> dict[str, Any] | None:
    """The best evaluation; None before there is one, or where their records are damaged."""
    try:
        return run.best()
    except UserError:
        return None


def signal_of(run: RunDir) -> Figures | None:
    """The figures of the run's signal up to now; None before the first step, or where the journal is damaged."""
    info = run.info()
    signal = Signal((info.get("noise") or {}).get("nats"), info.get("dtype", ""), run.preset().method.rank)
    try:
        for record in run.journal():
            signal.add(**record)
    except UserError:
        return None
    return signal.figures()


def as_json(figures: Figures | None) -> dict[str, Any] | None:
    """The figures as one object, the verdict as its line."""
    return {**asdict(figures), "verdict": figures.verdict.text} if figures else None


def signal_rows(figures: Figures) -> list[tuple[str, str]]:
    """The figures as rows of a name and a line."""
    noise = "not measured" if figures.noise is None else f"noise {figures.noise:.2g}"
    if figures.ratio is not None and figures.below_noise is not None:
        noise += f" ({figures.ratio:.3g} times; {figures.below_noise:.0%} of the steps below it)"
    rows = [("|L+ - L-|", f"{figures.difference:.3g} nats, {noise}")]
    line = f"|g| {figures.gradient:.3g}, at the start {figures.gradient_at_start:.3g}"
    rows.append(("gradient", f"{line}  {_bars(figures.gradient_history)}".rstrip()))
    if figures.step_size is not None:
        rows.append(("step size", f"{figures.step_size:.3g} per step and weight entry, rms"))
    if figures.trend is not None:
        line = f"{figures.trend:+.4f} +- {figures.trend_error:.4f} nats since the start, by least squares"
        rows.append(("trend", line))
    return [("signal", figures.verdict.text), *rows]


def _bars(values: list[float]) -> str:
    """A small chart from 0 to the largest; nothing for fewer than two."""
    top = max(values, default=0.0)
    if len(values) < 2 or not top:
        return ""
    return "".join(_BARS[min(len(_BARS) - 1, int(value / top * len(_BARS)))] for value in values)
