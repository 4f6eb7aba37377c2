"""The figures of a comparison."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Grid

from zotui.app import words
from zotui.app.compared import Compared
from zotui.app.widgets.tile import Tile


class ParityTiles(Grid):
    """Four figures: how far apart, how often too far, whether it matters, and what a step takes."""

    SCOPED_CSS = False  # the size of the screen is a class on the screen
    DEFAULT_CSS = """
    ParityTiles { grid-size: 4 1; grid-rows: auto; height: 3; }
    .-tall ParityTiles Tile, .-huge ParityTiles Tile { height: 3; }
    """

    def __init__(self, ours: str, theirs: str) -> None:
        super().__init__()
        self._sides = ours, theirs

    def compose(self) -> ComposeResult:
        yield Tile("largest diff", "tile-largest")
        yield Tile("too far apart", "tile-beyond")
        yield Tile("same sign of g", "tile-sign")
        yield Tile("median step", "tile-times")

    def refresh_figures(self, compared: Compared) -> None:
        """Show how it stands."""
        if not compared.done:
            return
        self._show("largest", words.difference(compared.largest), f"step {words.count(compared.largest_at)}")
        first = compared.first_beyond
        self._show(
            "beyond",
            words.count(compared.beyond) if compared.beyond else "none",
            f"first: {words.count(first)}" if first is not None else f"> {compared.tolerance:g}",
        )
        self._show("sign", f"{compared.same_sign / compared.done:.1%}", "of steps")
        ours, theirs = compared.times.medians()
        if ours and theirs:
            self._show("times", f"{words.brief(ours)} vs {words.brief(theirs)}", f"{theirs / ours:.1f}x")
        elif ours:
            self._show("times", words.brief(ours), self._sides[0])

    def _show(self, name: str, figure: str, about: str) -> None:
        self.query_one(f"#tile-{name}", Tile).show(figure, about)
