"""The runs there are, newest first."""

from __future__ import annotations

from rich.text import Text
from textual.binding import Binding
from textual.widgets import DataTable

from engine.rundir import Summary
from zotui.app import words

COLOURS = {
    "live": "success",
    "finished": "primary",
    "stopped": "warning",
    "failed": "error",
    "crashed": "error",
    "new": "quiet",
}


class RunList(DataTable[Text]):
    """Runs with where they stand; enter looks at one, r resumes it."""

    DEFAULT_CSS = """
    RunList {
        height: 1fr;
        border: round $line;
        border-title-color: $foreground;
        border-subtitle-color: $quiet;
        background: $surface;
        padding: 0 1;
        scrollbar-size-vertical: 1;
        overflow-x: hidden;
    }
    RunList:focus { border: round $primary; background-tint: $foreground 0%; }
    RunList > .datatable--header { background: $surface; color: $quiet; text-style: none; }
    """
    BINDINGS = [Binding("r", "screen.resume_run", "resume")]

    def __init__(self) -> None:
        super().__init__(id="runs", cursor_type="row", zebra_stripes=False, show_header=True)
        self.border_title = "runs"
        self._runs: list[Summary] = []
        self._shown: object = None
        self._empty = ""

    def on_mount(self) -> None:
        """Colours come from the theme."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self.show(self._runs, self._now, again=True))

    def show(self, runs: list[Summary], now: float, empty: str | None = None, *, again: bool = False) -> None:
        """Fill the table, keeping the cursor on the run where it was; `empty` is said of a table without runs."""
        room = max(20, self.size.width - 48) if self.size.width else 28  # what the other columns leave
        rows = [_cells(run, now, room) for run in runs]
        self._now = now
        self._empty = self._empty if empty is None else empty
        if (rows, room, self._empty) == self._shown and not again:
            return
        self._shown = (rows, room, self._empty)
        under = self.chosen.path if self.chosen else None
        self._runs = runs
        self.clear(columns=True)
        for name, width in (("run", room), ("standing", 9), ("steps", 13), ("result", 9), ("age", 7)):
            self.add_column(name, width=width)
        colours = self.app.theme_variables
        for run, cells in zip(runs, rows, strict=True):
            styles = ["foreground", COLOURS.get(run.standing, "quiet"), "quiet", "foreground", "quiet"]
            self.add_row(*(Text(cell, colours[style]) for cell, style in zip(cells, styles, strict=True)))
        for row, run in enumerate(runs):
            if run.path == under:
                self.move_cursor(row=row)
        self.border_subtitle = "enter looks at a run   r resumes it   d deletes it" if runs else self._empty

    @property
    def chosen(self) -> Summary | None:
        """The run under the cursor."""
        return self._runs[self.cursor_row] if 0 <= self.cursor_row < len(self._runs) else None


def _cells(run: Summary, now: float, room: int) -> tuple[str, ...]:
    name = run.name if len(run.name) <= room else run.name[: room - 1] + "…"
    steps = f"{words.count(run.steps_done)}/{words.count(run.steps)}"
    return (
        name,
        run.standing,
        steps,
        words.metric(run.metrics),
        words.age(now - run.started).removesuffix(" ago").replace("just now", "now"),
    )
