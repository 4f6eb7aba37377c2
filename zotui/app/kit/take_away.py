"""The dialog that hands a run's values out: to the clipboard, or as files in the run's folder."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from engine.errors import UserError
from engine.runs.directory import RunDir
from engine.runs.home import home
from zotui.app.kit.dialogs import DIALOG_CSS
from zotui.app.kit.while_mounted import while_mounted
from zotui.runs import export_charts
from zotui.runs.curves import Axis, Columns
from zotui.runs.export_files import Format, export
from zotui.runs.side_by_side import compare, result_rows, setting_rows

_WAYS = {
    "copy": ("c", "copy", "the results as a table, to the clipboard"),
    "csv": ("v", "CSV", "a row for every step"),
    "json": ("j", "JSON", "steps, evaluations, settings and results"),
    "svg": ("s", "SVG", "a chart of losses and evaluations"),
    "png": ("p", "PNG", "the same chart as a picture"),
}


class TakeAway(ModalScreen[None]):
    """Offers what can be taken away of runs; stays, so that one can take several."""

    DEFAULT_CSS = (
        DIALOG_CSS.format(name="TakeAway")
        + """
    TakeAway #dialog { width: 72; border-subtitle-color: $quiet; }
    TakeAway OptionList { height: auto; border: none; background: $surface; padding: 0; }
    TakeAway OptionList:focus { border: none; background-tint: $foreground 0%; }
    TakeAway #said { width: 1fr; height: auto; min-height: 2; margin-top: 1; color: $quiet; }
    """
    )
    BINDINGS = [
        *(
            Binding(key, f"take('{way}')", name, show=False, id=f"take_away.{way}", tooltip=about)
            for way, (key, name, about) in _WAYS.items()
        ),
        Binding("escape,q,y", "close", "close", show=False, id="take_away.close", tooltip="back"),
    ]

    def __init__(self, runs: Sequence[RunDir], axis: Axis = "step") -> None:
        super().__init__()
        self._runs, self._axis = runs, axis
        self.folder = runs[0].path / "exports" if len(runs) == 1 else home() / "exports"
        self._missing = export_charts.missing()

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = "take away"
            dialog.border_subtitle = "enter take   escape close"
            yield OptionList(*(Option(self._line(way), id=way, disabled=self._without(way)) for way in _WAYS))
            yield Static(Content.assemble("Files go into ", (str(self.folder), "$foreground")), id="said")

    def _line(self, way: str) -> Content:
        key, name, about = _WAYS[way]
        quiet = "$quiet"
        about = self._missing if self._without(way) else about
        return Content.assemble((f" {key} ", quiet), f" {name:<6}", (about, quiet))

    def _without(self, way: str) -> bool:
        """Whether what draws charts is missing here."""
        return way in ("svg", "png") and bool(self._missing)

    @on(OptionList.OptionSelected)
    def chosen(self, event: OptionList.OptionSelected) -> None:
        """Enter on a line."""
        self.action_take(str(event.option.id))

    def action_take(self, way: str) -> None:
        """Take it away."""
        if self._without(way):
            self._say(self._missing, "$warning")
            return
        self._say("one moment", "")
        self.run_worker(self._take(way), exclusive=True)

    async def _take(self, way: str) -> None:
        try:
            if way == "copy":
                self.app.copy_to_clipboard(await asyncio.to_thread(values, self._runs))
                self._say("Copied, if this terminal lets programs write to its clipboard (OSC 52).", "$success")
            else:
                to = await asyncio.to_thread(write, self._runs, self.folder, cast(Format, way), self._axis)
                self._say(f"Written: {to}", "$success")
        except UserError as error:
            self._say(str(error), "$error")

    @while_mounted
    def _say(self, text: str, colour: str) -> None:
        self.query_one("#said", Static).update(Content.assemble((text, colour)))

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)


def values(runs: Sequence[RunDir]) -> str:
    """The differing settings and the results, as lines of cells apart by tabs."""
    compared = compare(_read(runs))
    rows = [("run", [one.name for one in compared.results]), *setting_rows(compared.differing)]
    return "\n".join("\t".join((name.strip(), *cells)) for name, cells in [*rows, *result_rows(compared.results)])


def write(runs: Sequence[RunDir], folder: Path, format: Format, axis: Axis) -> Path:
    """Write a file that is not there yet into a folder, and say which. Raises `UserError`."""
    curves = _read(runs)
    stem = f"{runs[0].name}-step-{len(curves[0])}" if len(runs) == 1 else f"compare-{len(runs)}-runs"
    names = (stem, *(f"{stem}-{number}" for number in range(2, 10_000)))
    to = next(path for name in names if not (path := folder / f"{name}.{format}").exists())
    export(curves, to, format, axis)
    return to


def _read(runs: Sequence[RunDir]) -> list[Columns]:
    curves = [Columns(run) for run in runs]
    for one in curves:
        one.refresh()
    return curves
