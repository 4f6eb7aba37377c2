"""The figures of the signal: whether a step's two losses tell anything, and where the loss goes."""

from __future__ import annotations

import time

from textual.content import Content
from textual.widget import Widget

from engine.runs.signal import Figures
from zotui.app.kit.frame import frame
from zotui.app.state.method_now import MethodNow, method_now
from zotui.app.state.run_state import RunState
from zotui.text import numbers

REFRESH_EVERY = 1.9  # seconds: medians over many steps move slowly


class SignalPane(Widget, can_focus=True):
    """A figure a line; what it all means is in the last."""

    SCOPED_CSS = False  # the size of the screen is a class on the screen
    DEFAULT_CSS = (
        frame("SignalPane", "$secondary")
        + """
    SignalPane { height: 1fr; width: 2fr; text-wrap: wrap; }
    .-short SignalPane, .-narrow SignalPane { display: none; }
    """
    )

    def __init__(self) -> None:
        super().__init__(id="signal")
        self.border_title = "signal"
        self._shown: Content = Content("no step yet")
        self._judged = -1
        self._run: RunState | None = None
        self._refreshed = float("-inf")

    def on_show(self) -> None:
        """While it was hidden it was not kept up to date."""
        if self._run is not None:
            self.refresh_signal(self._run, now=True)

    def refresh_signal(self, run: RunState, *, now: bool = False) -> None:
        """Show the figures of the newest steps, every other second or `now`."""
        self._run = run
        early = time.monotonic() - self._refreshed < REFRESH_EVERY and not now and self._judged >= 0
        if run.taken == self._judged or early or not self.display:
            return
        self._refreshed = time.monotonic()
        figures = run.signal.figures()
        self._judged = -1 if figures is None else run.taken
        shown = Content("no step yet") if figures is None else _lines(figures, method_now(run))
        if shown.markup != self._shown.markup:
            self._shown = shown
            self.refresh()

    def render(self) -> Content:
        """The lines."""
        return self._shown


def _lines(figures: Figures, method: MethodNow) -> Content:
    rows = [("|L+ − L−|", numbers.significant(figures.difference), f"median of {figures.window} steps")]
    if figures.noise is not None and figures.ratio is not None:
        below = f"{figures.below_noise:.0%} of steps below it" if figures.below_noise else ""
        rows.append(("noise", numbers.significant(figures.noise), below))
        rows.append(("signal", f"{figures.ratio:.3g}", "times the noise"))
    if method.spread is not None:
        among = f"among {method.directions} directions" if method.directions else "over its directions"
        rows.append(("spread", numbers.significant(method.spread), among))
    grown = "" if figures.gradient_growth is None else f"{figures.gradient_growth:.2g} times the first"
    rows.append(("gradient", numbers.significant(figures.gradient), grown))
    if figures.trend is not None and figures.trend_error is not None:
        error = numbers.significant(figures.trend_error)
        rows.append(("loss trend", f"{figures.trend:+.3g}", f"± {error} in all"))
    if figures.update_kept is not None:
        rows.append(("update kept", numbers.share(figures.update_kept), ""))
    lines = [
        Content.assemble((f"{title:<12}", "$quiet"), f"{figure:<9}", (f" {more}", "$quiet"))
        for title, figure, more in rows
    ]
    verdict = figures.verdict
    lines.append(Content.assemble((verdict.text, "$warning" if verdict.wrong else "$success")))
    return Content("\n").join(lines)
