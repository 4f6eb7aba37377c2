"""The evaluations: held-out accuracy against step, or held-out loss where there is no accuracy."""

from __future__ import annotations

from textual.app import ComposeResult
from textual_plot import HiResMode

from zotui.app import words
from zotui.app.state import RunState
from zotui.app.widgets.chart import Chart


class EvaluationChart(Chart):
    """Held-out accuracy, or loss, against step."""

    def __init__(self) -> None:
        super().__init__("held-out accuracy", "evaluation-chart")

    def compose(self) -> ComposeResult:
        yield self.plot

    def refresh_curve(self, run: RunState) -> None:
        """Draw the evaluations if they, or the steps they stand over, changed."""
        # The steps only stretch the axis: a redraw for every twentieth of it is enough.
        reach = max(run.done, 10)
        coarse = reach if run.outcome else reach - reach % max(1, reach // 20)
        if not self.due((tuple(run.evaluations.items()), coarse)):
            return
        plot = self.plot
        metric = "accuracy" if any("accuracy" in e.metrics for e in run.evaluations.values()) else "loss"
        taken = sorted((step, e.metrics[metric]) for step, e in run.evaluations.items() if metric in e.metrics)
        if not taken:
            self.border_subtitle = "no evaluation yet"
            plot.show_nothing()
            return
        plot.show_axes()
        self.border_title = f"held-out {metric}"
        best = run.best(metric)
        if best is not None:
            figure = words.accuracy if metric == "accuracy" else words.loss
            self.border_subtitle = f"best {figure(best.metrics[metric])} at step {words.count(best.step)}"
        most = 2 * plot.columns
        taken = taken[-1 :: -max(1, -(-len(taken) // most))][::-1]
        steps, values = [step for step, _ in taken], [value for _, value in taken]
        low, high = min(values), max(values)
        room = max(0.12 * (high - low), 0.01 * abs(high), 1e-6)
        plot.set_ranges(plot.up_to(max(reach, steps[-1])), (low - room, high + room))
        plot.plot(steps, values, line_style=plot.style_of("plot--mark"), hires_mode=HiResMode.BRAILLE)
        if len(taken) <= plot.columns // 3:  # marks that would touch say nothing more than the line
            plot.scatter(steps, values, marker="●", marker_style=plot.style_of("plot--mark"))
