"""A tile: one figure, with its recent past beside or below it."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Sparkline, Static

from zotui.text import numbers


class Tile(Container):
    """A titled figure; what qualifies it stands in the lower border."""

    SCOPED_CSS = False  # the size of the screen is a class on the screen
    DEFAULT_CSS = """
    Tile {
        layout: horizontal;
        height: 3;
        border: round $line;
        border-title-color: $quiet;
        border-subtitle-color: $quiet;
        background: $surface;
        padding: 0 1;
    }
    Tile .figure { width: auto; height: 1; text-style: bold; text-wrap: nowrap; }
    Tile Sparkline { width: 1fr; height: 1; margin-left: 1; }
    Tile Sparkline > .sparkline--max-color { color: $primary; }
    Tile Sparkline > .sparkline--min-color { color: $secondary; }
    Tile.-empty .figure { color: $quiet; text-style: none; }
    .-tall Tile { layout: vertical; height: 4; }
    .-tall Tile .figure { width: 1fr; }
    .-tall Tile Sparkline { width: 1fr; margin-left: 0; }
    .-huge Tile { layout: vertical; height: 6; }
    .-huge Tile .figure { width: 1fr; }
    .-huge Tile Sparkline { width: 1fr; height: 3; margin-left: 0; }
    """

    def __init__(self, title: str, id: str, classes: str = "") -> None:
        super().__init__(id=id, classes=f"-empty {classes}")
        self.border_title = title
        self._figure = Static(numbers.NOTHING, classes="figure")
        self._past = Sparkline([])
        self._past.visible = False
        self._shown: tuple[str, str] | None = None
        self._width = len(numbers.NOTHING)

    def compose(self) -> ComposeResult:
        yield self._figure
        yield self._past

    @property
    def text(self) -> str:
        """The figure as shown."""
        return self._shown[0] if self._shown else numbers.NOTHING

    def show(self, figure: str, about: str = "", past: Sequence[float] | None = None) -> None:
        """Show a figure; costs nothing when it is the one already shown."""
        if (figure, about) != self._shown:
            self._shown = (figure, about)
            self.set_class(figure == numbers.NOTHING, "-empty")
            # A layout of the whole screen is dear: only a figure of another width needs one.
            self._figure.update(Content(figure), layout=len(figure) != self._width)
            self._width = len(figure)
            self.border_subtitle = about
        if past is not None:
            self._past.visible = varies(past)
            # News for what is not seen would have the whole screen arranged anew.
            if self._past.visible and self._past.data != past:
                self._past.data = list(past)


def varies(past: Sequence[float]) -> bool:
    """Whether a sparkline would show more than noise: it stretches whatever it is given to full height."""
    return len(past) > 1 and max(past) - min(past) > 0.02 * max(abs(max(past)), abs(min(past)))
