"""What runs differ in, and what came of them, side by side."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import DataTable

from zotui.app.compare.chart import curve_colour
from zotui.app.kit.colours import COLOURS
from zotui.app.kit.frame import frame
from zotui.runs.side_by_side import Comparison, result_rows, setting_rows
from zotui.text import numbers

_LABEL = 17  # cells of a row's name
_LEAST, _MOST = 13, 32  # cells of a run's column

Rows = list[tuple[str, list[str]]]


class CompareTable(DataTable[Text]):
    """A column for each run; a row for each where they would be too narrow."""

    DEFAULT_CSS = (
        frame("CompareTable", "$secondary")
        + """
    CompareTable { height: 1fr; scrollbar-size-horizontal: 1; }
    CompareTable > .datatable--header { background: $surface; text-style: none; }
    CompareTable > .datatable--fixed { background: $surface; }
    """
    )

    def __init__(self) -> None:
        super().__init__(id="compare-table", cursor_type="none", zebra_stripes=False, fixed_columns=1)
        self.border_title = "settings that differ, and results"
        self._shown: object = None

    def show(self, compared: Comparison) -> None:
        """Fill the table; free when it shows just that."""
        settings = setting_rows(compared.differing)
        results = result_rows(compared.results)
        runs = len(compared.results)
        room = self.content_size.width - _LABEL - 3 - 2 * runs  # with the padding, and a scrollbar
        width = min(_MOST, room // runs)
        wanted = (settings, results, self.content_size.width, self.app.theme)
        if wanted == self._shown:
            return
        self._shown = wanted
        place = self.scroll_offset
        self.clear(columns=True)
        names = [one.name for one in compared.results]
        if width >= _LEAST:
            self._runs_across(names, settings, results, width)
        else:
            self._runs_down(names, settings, results)
        self.scroll_to(*place, animate=False)

    def _runs_across(self, names: list[str], settings: Rows, results: Rows, width: int) -> None:
        self.add_column("", width=_LABEL)
        for number, name in enumerate(numbers.told_apart(names, width - 2)):
            self.add_column(self._named(number, name), width=width)
        nothing: Rows = [] if settings else [("no setting differs", ["" for _ in names])]
        for label, cells in [*settings, *nothing, ("", ["" for _ in names]), *results]:
            self.add_row(self._label(label), *(self._cell(label, cell, width) for cell in cells))

    def _runs_down(self, names: list[str], settings: Rows, results: Rows) -> None:
        rows = [*settings, *results]
        self.add_column("", width=_LABEL + 3)
        for label, cells in rows:
            width = min(_MOST, max(len(label), *map(len, cells)))
            self.add_column(self._label(label.strip(), width), width=width)
        for number, name in enumerate(numbers.told_apart(names, _LABEL + 1)):
            texts = [self._cell(label, cells[number], _MOST) for label, cells in rows]
            self.add_row(self._named(number, name), *texts)

    def _named(self, number: int, name: str) -> Text:
        colour = curve_colour(self.app, number)
        return Text(f"{(number + 1) % 10} ", colour).append(name, f"bold {colour}")

    def _label(self, text: str, width: int = _LABEL) -> Text:
        return Text(numbers.shortened(text, width), self.app.theme_variables["quiet"])

    def _cell(self, label: str, text: str, width: int) -> Text:
        variables = self.app.theme_variables
        colour = COLOURS.get(text, "foreground") if label == "standing" else "foreground"
        return Text(numbers.shortened(text, width), variables["quiet" if text == numbers.NOTHING else colour])
