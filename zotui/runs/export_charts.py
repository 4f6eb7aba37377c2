"""Charts as files, drawn by matplotlib: the losses of runs, and their evaluations below."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.errors import UserError
from zotui.runs.colours import colour
from zotui.runs.curves import Axis, Columns, axis_unit, smoothed, smoothing_span, thinned
from zotui.runs.side_by_side import differing, settings, written
from zotui.text import numbers

MISSING = "charts need matplotlib: pip install 'zotui[charts]'"

_DOTS = 3000  # raw losses that are drawn; more only fill the file
_LABEL = 84  # characters of a line of the legend
_LEAST_NAME = 24  # of them for a run's name
_LINE = 2000  # points of a smoothed line
INK, QUIET, _GRID = "#23262f", "#6b7180", "#e6e8ee"
STYLE = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": "#b9bfcc",
    "axes.labelcolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.direction": "out",
    "legend.framealpha": 0.85,  # a loss that rises runs beneath it
    "legend.edgecolor": "white",
    "svg.hashsalt": "zotui",  # the same chart is the same file
}
_IN_CAPTION = {
    "model.path": "model", "method.name": "", "method.lr": "lr", "method.eps": "eps", "method.rank": "rank",
    "method.interval": "interval", "method.queries": "queries", "run.batch_size": "batch", "run.seed": "seed",
    "runtime": "", "device": "", "dtype": "",
}  # fmt: skip
"""What is said below a chart, and what it is called there; some say it themselves."""


def missing() -> str:
    """Why no chart can be drawn here, and the line that mends it; empty where one can."""
    return "" if find_spec("matplotlib") else MISSING


def write_chart(runs: Sequence[Columns], to: Path, format: str, axis: Axis = "step") -> None:
    """Draw the runs over an axis, in one chart. Raises `UserError` without matplotlib, `OSError` for the file."""
    if why := missing():
        raise UserError(why)
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        metrics = [name for name in dict.fromkeys(name for run in runs for name in run.metrics)][:2]
        figure = Figure(figsize=(8.4, 3.6 + 1.7 * len(metrics)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1 + len(metrics), squeeze=False, sharex=True, height_ratios=[2.2] + [1] * len(metrics))
        divisor, unit = axis_unit(axis, max(run.over(axis)[-1] for run in runs))
        labels = _labels(runs)
        for number, run in enumerate(runs):
            shade = colour(number, dark=False)
            _draw_loss(panels[0, 0], run, axis, divisor, shade, labels[number], alone=len(runs) == 1)
            for panel, metric in zip(panels[1:, 0], metrics, strict=True):
                _draw_metric(panel, run, metric, axis, divisor, shade, alone=len(runs) == 1)
        _finish(panels[:, 0], runs, metrics, unit)
        _write_texts(figure, runs)
        metadata = {"Date": None} if format == "svg" else None
        figure.savefig(to, format=format, dpi=180, facecolor="white", metadata=metadata)


def _draw_loss(panel: Any, run: Columns, axis: Axis, divisor: float, shade: str, label: str, alone: bool) -> None:
    x, raw, span = run.over(axis), run.column("loss"), smoothing_span(len(run))
    if alone:
        at, dots = thinned(x, raw, _DOTS)
        places = [one / divisor for one in at]
        panel.plot(places, dots, ".", color=shade, alpha=0.32, ms=3, mew=0, label="a step's batch")
        _hold(panel, dots)
    at, line = thinned(x, smoothed(raw, span), _LINE)
    label = f"smoothed over about {span} steps" if alone else label
    panel.plot([one / divisor for one in at], line, color=shade, lw=1.8, label=label)


def _hold(panel: Any, dots: Sequence[float]) -> None:
    """Keep one stray batch from flattening the curve."""
    import numpy

    low, high = numpy.percentile(dots, (0.5, 99.5))
    room = 0.06 * (high - low) or abs(high) * 0.05 or 1.0
    panel.set_ylim(low - room, high + room)


def _draw_metric(panel: Any, run: Columns, metric: str, axis: Axis, divisor: float, shade: str, alone: bool) -> None:
    at, values = run.measured(metric, axis)
    if not values:
        return
    places = [one / divisor for one in at]
    marked = len(values) <= 60
    panel.plot(places, values, color=shade, lw=1.5, marker="o" if marked else "", ms=4, mec="white", mew=0.8)
    if alone:
        best = (min if metric == "loss" else max)(range(len(values)), key=values.__getitem__)
        figure = numbers.loss(values[best]) if metric == "loss" else numbers.accuracy(values[best])
        panel.plot(places[best], values[best], "o", color=shade, ms=7, mec="white", mew=1.2)
        below = metric == "loss"
        panel.annotate(
            figure, (places[best], values[best]), xytext=(0, -9 if below else 8), textcoords="offset points",
            ha="center", va="top" if below else "bottom", color=shade, fontsize=9, fontweight="bold",
            annotation_clip=False,
        )  # fmt: skip
        panel.margins(y=0.28)


def _finish(panels: Any, runs: Sequence[Columns], metrics: Sequence[str], unit: str) -> None:
    """Names of the axes, and the legend."""
    panels[0].set_ylabel("training loss, nats" if len(runs) == 1 else "training loss, smoothed, nats")
    for panel, metric in zip(panels[1:], metrics, strict=True):
        panel.set_ylabel("held-out loss, nats" if metric == "loss" else f"held-out {metric}")
    panels[-1].set_xlabel(unit)
    panels[-1].margins(x=0.02)
    if unit.startswith("step"):
        panels[-1].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    panels[0].legend(loc="upper right", labelcolor=INK, fontsize=9, markerscale=2.5)
    panels[0].figure.align_ylabels(panels)


def _write_texts(figure: Any, runs: Sequence[Columns]) -> None:
    """The title, and what the runs were set to below the chart."""
    title = runs[0].run.name if len(runs) == 1 else f"{len(runs)} runs compared"
    figure.suptitle(literal(title), fontsize=13, fontweight="bold", x=0.012, ha="left")
    every = [settings(run.run) for run in runs]
    different = differing(every)
    same = {name: every[0].get(name) for name in _IN_CAPTION if name in every[0] and name not in different}
    text = "  ·  ".join(f"{_IN_CAPTION[name]} {_short(name, value)}".strip() for name, value in same.items())
    figure.supxlabel(literal("\n".join(textwrap.wrap(text, 156))), fontsize=8, color=QUIET, x=0.012, ha="left")


def _labels(runs: Sequence[Columns]) -> list[str]:
    """A run's name, and in what it differs."""
    different = differing([settings(run.run) for run in runs]) if len(runs) > 1 else {}
    parts = [
        ", ".join(
            f"{_IN_CAPTION.get(key, key)} {_short(key, values[number])}".strip() for key, values in different.items()
        )
        for number in range(len(runs))
    ]
    # What they differ in is what the legend is for: the names give way.
    room = max(_LEAST_NAME, _LABEL - 2 - max(map(len, parts)))
    names = numbers.told_apart([run.run.name for run in runs], room)
    labels = [f"{name}, {part}" if part else name for name, part in zip(names, parts, strict=True)]
    return [literal(numbers.shortened(label, _LABEL)) for label in labels]


def _short(name: str, value: Any) -> str:
    text = written(value)
    return Path(text).name if name == "model.path" else text


def literal(text: str) -> str:
    """Names may hold what matplotlib reads as mathematics."""
    return text.replace("$", r"\$")
