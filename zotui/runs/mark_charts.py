"""How methods came down to the mark: validation loss against tokens, and against the seconds of the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import UserError
from zotui.runs.colours import colour
from zotui.runs.curves import Axis, Columns, axis_unit
from zotui.runs.export_charts import INK, QUIET, STYLE, literal, missing
from zotui.runs.marks import Mark, reached
from zotui.text import numbers

_AXES: tuple[Axis, ...] = ("tokens", "seconds")


def write(curves: Mapping[str, Sequence[Columns]], mark: Mark, to: Path) -> None:
    """A line for each run, a colour for each method; a dot where a run reached the mark.

    to: ends in .png or .svg. Raises `UserError` without matplotlib, and where the file cannot be written.
    """
    if why := missing():
        raise UserError(why)
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.4, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, 2, sharey=True)
        for panel, axis in zip(panels, _AXES, strict=True):
            farthest = max((run.over(axis)[-1] for some in curves.values() for run in some if len(run)), default=1.0)
            divisor, unit = axis_unit(axis, farthest)
            for number, (method, some) in enumerate(curves.items()):
                for which, run in enumerate(some):
                    _draw(panel, run, mark, axis, divisor, colour(number, dark=False), method if not which else None)
            panel.axhline(mark.loss, color=INK, lw=1.0, ls=(0, (4, 3)))
            panel.set_xlabel(unit)
            panel.margins(x=0.02)
        _hold(panels[0], curves, mark)
        panels[0].set_ylabel("validation loss, nats")
        panels[1].legend(loc="upper right", labelcolor=INK, fontsize=9)
        figure.suptitle(
            f"Down to a validation loss of {numbers.loss(mark.loss)}",
            fontsize=13,
            fontweight="bold",
            x=0.012,
            ha="left",
        )
        said = "a line for each seed; a dot where it was first evaluated at the mark or below"
        figure.supxlabel(said, fontsize=8, color=QUIET, x=0.012, ha="left")
        metadata = {"Date": None} if to.suffix == ".svg" else None
        try:
            figure.savefig(to, format=to.suffix[1:], dpi=180, facecolor="white", metadata=metadata)
        except OSError as error:
            raise UserError(f"{to}: cannot be written ({error.strerror})") from None


def _draw(panel: Any, run: Columns, mark: Mark, axis: Axis, divisor: float, shade: str, method: str | None) -> None:
    at, losses = run.measured("loss", axis)
    label = literal(method) if method else None
    panel.plot([one / divisor for one in at], losses, color=shade, lw=1.5, alpha=0.85, label=label)
    if met := reached(run, mark):
        panel.plot(run.place(met.step, axis) / divisor, met.metrics["loss"], "o", color=shade, ms=6, mec="white", mew=1)


def _hold(panel: Any, curves: Mapping[str, Sequence[Columns]], mark: Mark) -> None:
    """Keep a run that diverges from flattening the others: what is worse than untrained is cut off."""
    taken = [run.measured("loss", "step")[1] for some in curves.values() for run in some]
    starts = [losses[0] for losses in taken if losses]
    low = min([mark.loss, *(min(losses) for losses in taken if losses)])
    high = max([mark.loss, *starts])
    room = 0.15 * (high - low) or 0.05 * abs(high) or 1.0
    panel.set_ylim(low - room, high + room)
