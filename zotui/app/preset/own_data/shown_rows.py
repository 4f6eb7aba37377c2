"""The first rows as the model sees them."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from engine.protocol.findings import Draft, Shown
from zotui.app.kit.frame import frame
from zotui.text.drafts import counted, cut

_MOST = 5  # options beside the right one
_HINT = """A file of rows: .jsonl, .ndjson, .json, .csv or .tsv (.gz, too), or .parquet.

It is looked at, and what comes of it is shown here: which kind of task it is, what its columns are for, and its first \
rows as the model sees them. Nothing is written before it is saved."""


class ShownRows(VerticalScroll):
    """Scrolls by the arrows while it has the focus."""

    DEFAULT_CSS = (
        frame("ShownRows", "$primary")
        + """
    ShownRows { padding: 0 2; }
    ShownRows Static { width: 1fr; height: auto; }
    """
    )

    def __init__(self) -> None:
        super().__init__(id="shown")
        self.border_title = "as the model sees it"

    def compose(self) -> ComposeResult:
        yield Static(_hint())

    def clear(self) -> None:
        """There is no file."""
        self.border_subtitle = ""
        self.query_one(Static).update(_hint())

    def show(self, draft: Draft) -> None:
        """Show what a look has found."""
        parts = [_row(number, row) for number, row in enumerate(draft.rows, 1)]
        self.border_subtitle = Content(counted(draft))
        self.query_one(Static).update(Content("\n\n").join(parts))


def _hint() -> Content:
    return Content.assemble((_HINT, "$quiet"))


def _row(number: int, row: Shown) -> Content:
    lines = [Content.assemble((f"row {number}", "$quiet")), Content.assemble((cut(row.prompt), "$accent"))]
    others = [option for place, option in enumerate(row.options) if place != row.label]
    if row.label < len(row.options):
        right = cut(row.options[row.label])
        lines.append(Content.assemble(("-> ", "$quiet"), (_visible(right), "$success")))
    for option in others[:_MOST]:
        lines.append(Content.assemble(("   not ", "$quiet"), (_visible(cut(option)), "$quiet")))
    if len(others) > _MOST:
        lines.append(Content.assemble((f"   nor {len(others) - _MOST} others", "$quiet")))
    return Content("\n").join(lines)


def _visible(text: str) -> str:
    """Within marks, so that white space at its ends is seen."""
    return f"'{text}'"
