"""The log of events: evaluations, checkpoints, changes of state, and what the engine says; filtered as one types."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.text import Text
from textual import events as textual_events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input, RichLog

from zotui.app.cockpit.panes.signal import REFRESH_EVERY
from zotui.app.kit.frame import frame
from zotui.app.state.run_state import Entry, RunState

_TAGS = {
    "state": ("state", "primary"),
    "eval": ("eval", "success"),
    "save": ("saved", "accent"),
    "change": ("change", "warning"),
    "return": ("return", "warning"),
    "phase": ("start", "quiet"),
    "ask": ("you", "accent"),
    "info": ("info", "quiet"),
    "debug": ("debug", "quiet"),
    "warning": ("warn", "warning"),
    "error": ("error", "error"),
}
LEVELS = ("all", "info", "warnings", "errors")
_LEVEL_OF = {"debug": 0, "warning": 2, "error": 3}  # of the others 1


class LogPane(Vertical):
    """A scrolling log; it stays where it was scrolled to, and follows when at its end."""

    DEFAULT_CSS = (
        frame("LogPane", "$secondary", within=True)
        + """
    LogPane { height: 1fr; width: 1fr; }
    LogPane RichLog {
        background: $surface;
        height: 1fr;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
    }
    LogPane RichLog:focus { background-tint: $foreground 0%; }
    LogPane Input { height: 1; border: none; padding: 0; background: $panel; display: none; }
    LogPane Input:focus { border: none; }
    LogPane.-filtering Input { display: block; }
    """
    )
    BINDINGS = [Binding("escape", "no_filter", "no filter", show=False, id="cockpit.back")]

    def __init__(self, local: Callable[[float], time.struct_time] = time.localtime) -> None:
        super().__init__(id="events")
        self.border_title = "events"
        self.level = 0
        self._local = local
        self._written = 0
        self._judged: object = None  # steps taken when the signal was last looked at
        self._judged_at = float("-inf")
        self._run: RunState | None = None
        self._lines = RichLog(wrap=True, max_lines=2000, min_width=20)
        self._filter = Input(placeholder="filter: enter keeps it, escape ends it", compact=True)

    def compose(self) -> ComposeResult:
        yield self._lines
        yield self._filter

    def on_mount(self) -> None:
        """Colours come from the theme, so another theme rewrites the log."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._rewrite())

    def on_resize(self, _: textual_events.Resize) -> None:
        """Lines are wrapped when written, so another width rewrites the log, and has other room in the border."""
        self._judged = None
        self.call_after_refresh(self._rewrite)

    # -- what the user chooses -------------------------------------------------------------------

    def ask_filter(self) -> None:
        """Type what the lines are to hold."""
        self.add_class("-filtering")
        self._filter.focus()

    def next_level(self) -> None:
        """Show what is at least as grave as the next level; after the gravest, all."""
        self.level = (self.level + 1) % len(LEVELS)
        self._rewrite()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Every character filters."""
        event.stop()
        self._rewrite()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The filter stays; the keys are the cockpit's again."""
        event.stop()
        self.set_class(bool(self._filter.value), "-filtering")
        self._lines.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape is the cockpit's while there is no filter."""
        return action != "no_filter" or self.has_class("-filtering")

    def action_no_filter(self) -> None:
        """Show every line again."""
        self.remove_class("-filtering")
        self._filter.value = ""
        self._lines.focus()

    # -- what is shown ---------------------------------------------------------------------------

    def refresh_events(self, run: RunState) -> None:
        """Write what is new."""
        self._run = run
        new = run.entries_made - self._written
        if new <= 0:
            return
        self._written = run.entries_made
        for entry in list(run.entries)[-new:]:
            if self._wanted(entry):
                self._lines.write(self._line(entry))
        self._count(run)

    def refresh_signal(self, run: RunState, *, now: bool = False) -> None:
        """What the figures of the signal say, in the lower border: as much of it as there is room for."""
        early = time.monotonic() - self._judged_at < REFRESH_EVERY and not now and self._judged is not None
        if run.taken == self._judged or early:
            return
        self._judged_at = time.monotonic()
        figures = run.signal.figures()
        if figures is None:
            return
        self._judged = run.taken
        verdict = figures.verdict
        long = verdict.text
        if figures.ratio is not None:
            long = f"signal {figures.ratio:.3g} times the noise  ·  {long}"
        room = self.size.width - 4
        said = next((t for t in (long, verdict.text) if len(t) <= room), verdict.problem)
        if said != self.border_subtitle:
            self.border_subtitle = said

    def _count(self, run: RunState) -> None:
        title = "events"
        if self.level or self._filter.value:
            title += f"  {sum(map(self._wanted, run.entries))} of {len(run.entries)}"
        if self.level:
            title += f"  {LEVELS[self.level]}"
        if title != self.border_title:
            self.border_title = title

    def _wanted(self, entry: Entry) -> bool:
        if _LEVEL_OF.get(entry.kind, 1) < self.level:
            return False
        sought = self._filter.value.strip().lower()
        return not sought or sought in f"{_TAGS[entry.kind][0]} {entry.text}".lower()

    def _rewrite(self) -> None:
        if self._run is not None:
            self._lines.clear()
            self._written = self._run.entries_made - len(self._run.entries)
            self.refresh_events(self._run)
            self._count(self._run)

    def _line(self, entry: Entry) -> Text:
        colours = self.app.theme_variables
        tag, colour = _TAGS[entry.kind]
        stamp = time.strftime("%H:%M:%S", self._local(entry.at)) if entry.at is not None else "        "
        body = colours[{"error": "error", "warning": "warning", "debug": "quiet"}.get(entry.kind, "foreground")]
        return Text.assemble((f"{stamp}  ", colours["quiet"]), (f"{tag:<7}", colours[colour]), (entry.text, body))
