"""How something ended, as a bordered card."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from zotui.app.kit.rows import Rows

LOG_LINES = 15


class Ending(Vertical):
    """How something ended. Hidden until it has."""

    SCOPED_CSS = False  # the size of the screen is a class on the screen
    DEFAULT_CSS = """
    Ending {
        display: none;
        height: auto;
        border: round $success;
        border-title-color: $success;
        border-title-style: bold;
        border-subtitle-color: $foreground;
        background: $surface;
        padding: 0 1;
    }
    Ending.-stopped { border: round $warning; border-title-color: $warning; }
    Ending.-died { border: round $error; border-title-color: $error; background: $error 8%; }
    Ending #tail { display: none; height: auto; max-height: 17; scrollbar-size-vertical: 1; color: $quiet; }
    Ending.-died #tail { display: block; }
    Ending #lines { width: 1fr; height: auto; }
    .-tall Ending #tail { max-height: 8; }
    .-short Ending.-died { height: 1fr; }
    .-short Ending #tail { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__(id="verdict")

    def compose(self) -> ComposeResult:
        yield Rows(15, id="said")
        with VerticalScroll(id="tail"):
            yield Static(id="lines")

    @property
    def text(self) -> str:
        """What it says, without the colours."""
        said, lines = self.query_one(Rows), self.query_one("#lines", Static)
        return f"{self.border_title}\n{said.text}\n{lines.content}\n{self.border_subtitle}"

    def show(
        self,
        kind: str,
        title: str,
        subtitle: str,
        lead: Content | None,
        rows: Sequence[tuple[str, Content]] = (),
        lines: Sequence[str] = (),
    ) -> None:
        """How it ended: finished, stopped or died, the latter with the last lines of a log."""
        self.display = True
        self.set_class(kind == "died", "-died")
        self.set_class(kind == "stopped", "-stopped")
        self.border_title, self.border_subtitle = title, subtitle
        self.query_one(Rows).show(lead, rows)
        self.query_one("#lines", Static).update(Content("\n".join(lines)))
        if lines:  # the last line is mostly the one that says it
            self.query_one("#tail").call_after_refresh(self._to_the_end)

    def on_resize(self) -> None:
        """The lines are wrapped otherwise."""
        self.call_after_refresh(self._to_the_end)

    def _to_the_end(self) -> None:
        for tail in self.query("#tail").results(VerticalScroll):  # none is there once the screen is being left
            tail.scroll_end(animate=False)
