"""Names and what belongs to each, side by side; what is too long goes on below itself."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.events import Resize
from textual.widgets import Static


class Rows(Static):
    """Laid out anew for every width."""

    DEFAULT_CSS = "Rows { width: 1fr; height: auto; }"

    def __init__(self, label: int, id: str | None = None) -> None:
        """`label` is the width of the names, in cells."""
        super().__init__(id=id)
        self._label = label
        self._rows: list[tuple[str, Content]] = []

    def show(self, lead: Content | None, rows: Sequence[tuple[str, Content]]) -> None:
        """A few lines of their own, if any, and the rows below."""
        self._rows = [*([("", lead)] if lead is not None else []), *rows]
        self._lead = lead is not None
        self._lay_out()

    @property
    def text(self) -> str:
        """What stands there, however wide it is."""
        return "\n".join(f"{name.ljust(self._label)}{text.plain}" if name else text.plain for name, text in self._rows)

    def on_resize(self, _: Resize) -> None:
        """Another width breaks lines elsewhere."""
        self._lay_out()

    def _lay_out(self) -> None:
        width = self.content_size.width or 1000  # not known yet: as few lines as there can be
        lines: list[Content] = []
        for place, (name, text) in enumerate(self._rows):
            whole = self._lead and place == 0
            label = 0 if whole else self._label
            for number, line in enumerate(text.wrap(max(8, width - label))):
                term = name.ljust(label) if number == 0 else " " * label
                lines.append(Content.assemble((term, "$quiet"), line))
        self.update(Content("\n").join(lines))
