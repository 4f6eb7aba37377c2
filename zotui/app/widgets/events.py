"""The log of events: evaluations, checkpoints, changes of state, and what the engine says."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.text import Text
from textual import events as textual_events
from textual.widgets import RichLog

from zotui.app.state import Entry, RunState

_TAGS = {
    "state": ("state", "primary"),
    "eval": ("eval", "success"),
    "save": ("saved", "accent"),
    "change": ("change", "accent"),
    "phase": ("start", "quiet"),
    "ask": ("you", "accent"),
    "info": ("info", "quiet"),
    "debug": ("debug", "quiet"),
    "warning": ("warn", "warning"),
    "error": ("error", "error"),
}


class EventLog(RichLog):
    """A scrolling log; it stays where it was scrolled to, and follows when at its end."""

    DEFAULT_CSS = """
    EventLog {
        border: round $line;
        border-title-color: $foreground;
        border-subtitle-color: $quiet;
        background: $surface;
        padding: 0 1;
        height: 1fr;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
    }
    EventLog:focus { border: round $secondary; background-tint: $foreground 0%; }
    """

    def __init__(self, local: Callable[[float], time.struct_time] = time.localtime) -> None:
        super().__init__(id="events", wrap=True, max_lines=2000, min_width=20)
        self.border_title = "events"
        self._local = local
        self._written = 0
        self._judged = -1  # steps done when the signal was last looked at
        self._run: RunState | None = None

    def on_mount(self) -> None:
        """Colours come from the theme, so another theme rewrites the log."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._rewrite())

    def on_resize(self, _: textual_events.Resize) -> None:
        """Lines are wrapped when written, so another width rewrites the log, and has other room in the border."""
        self._judged = -1
        self.call_after_refresh(self._rewrite)

    def refresh_events(self, run: RunState) -> None:
        """Write what is new."""
        self._run = run
        new = run.entries_made - self._written
        if new <= 0:
            return
        self._written = run.entries_made
        for entry in list(run.entries)[-new:]:
            self.write(self._line(entry))

    def refresh_signal(self, run: RunState) -> None:
        """What the figures of the signal say, in the lower border: as much of it as there is room for."""
        figures = run.signal.figures()
        if figures is None or run.done == self._judged:
            return
        self._judged = run.done
        verdict = figures.verdict
        long = verdict.text
        if figures.ratio is not None:
            long = f"signal {figures.ratio:.3g} times the noise  ·  {long}"
        room = self.size.width - 4
        self.border_subtitle = next((t for t in (long, verdict.text) if len(t) <= room), verdict.problem)

    def _rewrite(self) -> None:
        if self._run is not None:
            self.clear()
            self._written = 0
            self.refresh_events(self._run)

    def _line(self, entry: Entry) -> Text:
        colours = self.app.theme_variables
        tag, colour = _TAGS[entry.kind]
        stamp = time.strftime("%H:%M:%S", self._local(entry.at)) if entry.at is not None else "        "
        body = colours[{"error": "error", "warning": "warning", "debug": "quiet"}.get(entry.kind, "foreground")]
        return Text.assemble((f"{stamp}  ", colours["quiet"]), (f"{tag:<6}", colours[colour]), (entry.text, body))
