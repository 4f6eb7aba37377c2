"""A line of progress: state, bar, steps, elapsed time, what is left."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget


class ProgressLine(Widget):
    """What is going on, how far it is and how long it takes, on one line."""

    SCOPED_CSS = False  # the size of the screen is a class on the screen
    DEFAULT_CSS = """
    ProgressLine {
        height: 1;
        padding: 0 1;
        background: $surface;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    .-tall ProgressLine, .-huge ProgressLine { height: 3; padding: 1 2 0 2; }
    """

    def __init__(self) -> None:
        super().__init__(id="status")
        self._shown: tuple[str, str, str, str, float | None, str] | None = None

    def show(self, word: str, colour: str, middle: str, right: str, share: float | None, below: str = "") -> None:
        """The state in a word, what qualifies it, the figures, the share that is done, if known, and a second line.

        Drawn again only when a character of it changed.
        """
        parts = (word, colour, middle, right, share, below)
        if parts != self._shown:
            self._shown = parts
            self.refresh()

    def render(self) -> Content:
        """Left the state, right the figures, and the bar in what is left between them."""
        if self._shown is None:
            return Content("")
        word, colour, middle, right, share, below = self._shown
        left = Content.assemble(("● ", colour), (word, "bold"))
        if middle:
            left = Content.assemble(left, "  ", (middle, "$quiet"))
            left = left.truncate(max(12, self.content_size.width - len(right) - 4), ellipsis=True)
        room = self.content_size.width - left.cell_length - len(right) - 4
        bar = progress_bar(share, min(room, 120)) if share is not None and room >= 6 else Content("")
        gap = " " * max(2, room - bar.cell_length + 2)
        line = Content.assemble(left, "  ", bar, gap, right)
        return Content.assemble(line, "\n", (below, "$quiet")) if below and self.content_size.height > 1 else line


def progress_bar(share: float, width: int) -> Content:
    """A thin bar of `width` cells, to half a cell; an engine may claim any share."""
    halves = round(min(1.0, max(0.0, share)) * width * 2)
    full, half = divmod(halves, 2)
    empty = width - full - half
    return Content.assemble(("━" * full + "╸" * half, "$primary"), ("─" * empty, "$faint"))
