"""The runs there are, newest first."""

from __future__ import annotations

from collections.abc import Collection

from rich.text import Text
from textual.binding import Binding
from textual.widgets import DataTable

from engine.runs.directory import Summary
from zotui.app.kit.colours import COLOURS
from zotui.app.kit.frame import frame
from zotui.text import numbers


class RunList(DataTable[Text]):
    """Runs with where they stand; enter looks at one, r resumes it, space marks it and x compares the marked."""

    DEFAULT_CSS = (
        frame("RunList", "$primary")
        + """
    RunList { height: 1fr; overflow-x: hidden; }
    RunList > .datatable--header { background: $surface; color: $quiet; text-style: none; }
    """
    )
    BINDINGS = [
        Binding("r", "screen.resume_run", "resume", id="start.resume", tooltip="resume the run under the cursor"),
        Binding("space", "mark", "mark", id="start.mark", tooltip="mark a run, or unmark it"),
        Binding(
            "x", "screen.compare_runs", "compare", id="start.compare", tooltip="compare the runs that are marked",
        ),
        Binding(
            "enter", "select_cursor", "open", show=False, id="start.open",
            tooltip="start a run of a preset; look at a run, or steer it while it is live",
        ),
        Binding("up", "cursor_up", "up", show=False, id="list.up", tooltip="move up in a list"),
        Binding("down", "cursor_down", "down", show=False, id="list.down", tooltip="move down in a list"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__(id="runs", cursor_type="row", zebra_stripes=False, show_header=True)
        self.border_title = "runs"
        self._runs: list[Summary] = []
        self._now = 0.0  # when the runs were as they are shown, in seconds since the epoch
        self._shown: object = None
        self._marked: list[str] = []  # paths, in the order of marking
        self._empty = ""

    def on_mount(self) -> None:
        """Colours come from the theme."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self.show(self._runs, self._now, again=True))

    def show(self, runs: list[Summary], now: float, empty: str | None = None, *, again: bool = False) -> None:
        """Fill the table, keeping the cursor on the run where it was; `empty` is said of a table without runs."""
        room = max(20, self.size.width - 48) if self.size.width else 28  # what the other columns leave
        room = min(room, max((len(run.name) for run in runs), default=0) + 4)  # with a mark, and some air
        room = max(room, 20)
        rows = [_cells(run, now, room, run.path in self._marked) for run in runs]
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
            styles = ["foreground", COLOURS.get(run.word, "quiet"), "quiet", "foreground", "quiet"]
            self.add_row(*(Text(cell, colours[style]) for cell, style in zip(cells, styles, strict=True)))
        for row, run in enumerate(runs):
            if run.path == under:
                self.move_cursor(row=row)
        self.border_subtitle = (
            "enter looks at a run   r resumes it unless it is finished   d deletes it" if runs else self._empty
        )

    def keep_marks(self, paths: Collection[str]) -> None:
        """There are runs at these places only; the marks of those that a filter hides stay."""
        self._marked = [path for path in self._marked if path in paths]

    def action_mark(self) -> None:
        """Mark the run under the cursor for a comparison, or take the mark away; then move on."""
        if self.chosen is None:
            return
        path = self.chosen.path
        self._marked = [one for one in self._marked if one != path] if path in self._marked else [*self._marked, path]
        self.show(self._runs, self._now, again=True)
        self.move_cursor(row=min(self.cursor_row + 1, len(self._runs) - 1))

    @property
    def marked(self) -> list[str]:
        """The folders of the runs that are marked, in the order of marking."""
        return self._marked

    @property
    def chosen(self) -> Summary | None:
        """The run under the cursor."""
        return self._runs[self.cursor_row] if 0 <= self.cursor_row < len(self._runs) else None


def _cells(run: Summary, now: float, room: int, marked: bool) -> tuple[str, ...]:
    name = f"● {run.name}" if marked else run.name
    name = name if len(name) <= room else name[: room - 1] + "…"
    steps = f"{numbers.count(run.steps_done)}/{numbers.count(run.steps)}"
    return (
        name,
        run.word,
        steps,
        numbers.metric(run.metrics),
        numbers.age(now - run.started).removesuffix(" ago").replace("just now", "now"),
    )
