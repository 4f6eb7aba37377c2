"""The figures of a comparison."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Grid

from zotui.app.kit.tile import Tile
from zotui.app.parity.state import Compared
from zotui.text import numbers


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
        self._show("largest", numbers.difference(compared.largest), f"step {numbers.count(compared.largest_at)}")
        first = compared.first_beyond
        self._show(
            "beyond",
            numbers.count(compared.beyond) if compared.beyond else "none",
            f"first: {numbers.count(first)}" if first is not None else f"> {compared.tolerance:g}",
        )
        self._show("sign", f"{compared.same_sign / compared.done:.1%}", "of steps")
        ours, theirs = compared.times.medians()
        if ours and theirs:
            self._show("times", f"{numbers.brief(ours)} vs {numbers.brief(theirs)}", f"{theirs / ours:.1f}x")
        elif ours:
            self._show("times", numbers.brief(ours), self._sides[0])

    def _show(self, name: str, figure: str, about: str) -> None:
        self.query_one(f"#tile-{name}", Tile).show(figure, about)
