"""The dialog that hands out what a run has: its values to the clipboard, or as files; its model, as a folder."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from contextlib import suppress
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
_OF_ONE = {
    "adapter": ("a", "adapter", "what was learned, for peft and vLLM"),
    "merged": ("m", "model", "the tuned model, for any tool that loads one"),
    "step": ("b", "step", "whether model and adapter are of the last step or the best"),
}
"""Of one run alone; the last is no way out, but says of which step the two are."""


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
            for way, (key, name, about) in (_WAYS | _OF_ONE).items()
        ),
        Binding("escape,q,y", "close", "close", show=False, id="take_away.close", tooltip="back"),
    ]

    def __init__(self, runs: Sequence[RunDir], axis: Axis = "step") -> None:
        super().__init__()
        self._runs, self._axis = runs, axis
        self.folder = runs[0].path / "exports" if len(runs) == 1 else home() / "exports"
        self._missing = export_charts.missing()
        self._ways = _WAYS | (_OF_ONE if len(runs) == 1 else {})
        self._step = "last"

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as dialog:
            dialog.border_title = "take away"
            dialog.border_subtitle = "enter take   escape close"
            yield OptionList(*(Option(self._line(way), id=way, disabled=self._without(way)) for way in self._ways))
            yield Static(Content.assemble("Files go into ", (str(self.folder), "$foreground")), id="said")

    def _line(self, way: str) -> Content:
        key, name, about = self._ways[way]
        quiet = "$quiet"
        if way == "step":
            other = "best" if self._step == "last" else "last"
            about = f"model and adapter are of the {self._step} one; {key} for the {other}"
        about = self._missing if self._without(way) else about
        return Content.assemble((f" {key} ", quiet), f" {name:<8}", (about, quiet))

    def _without(self, way: str) -> bool:
        """Whether what draws charts is missing here."""
        return way in ("svg", "png") and bool(self._missing)

    @on(OptionList.OptionSelected)
    def chosen(self, event: OptionList.OptionSelected) -> None:
        """Enter on a line."""
        self.action_take(str(event.option.id))

    def action_take(self, way: str) -> None:
        """Take it away, or turn to the other step."""
        if way not in self._ways:
            return
        if self._without(way):
            self._say(self._missing, "$warning")
            return
        if way == "step":
            self._step = "best" if self._step == "last" else "last"
            self.query_one(OptionList).replace_option_prompt("step", self._line("step"))
            return
        self._say("one moment: the weights are rebuilt" if way in _OF_ONE else "one moment", "")
        self.run_worker(self._take(way), exclusive=True)

    async def _take(self, way: str) -> None:
        try:
            if way == "copy":
                self.app.copy_to_clipboard(await asyncio.to_thread(values, self._runs))
                self._say("Copied, if this terminal lets programs write to its clipboard (OSC 52).", "$success")
            elif way in _OF_ONE:
                to = await exported(self._runs[0], self.folder, way, self._step)
                self._say(f"Written: {to}", "$success")
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
    to = _new(folder, stem, f".{format}")
    export(curves, to, format, axis)
    return to


async def exported(run: RunDir, folder: Path, format: str, step: str) -> Path:
    """Have a folder written that is not there yet, and say which. Raises `UserError`; whoever waits no more ends it."""
    to = _new(folder, f"{run.name}-{format}-{step}")
    command = ["-P", "-m", "engine.export", str(run.path), str(to), "--format", format, "--step", step]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, start_new_session=True
    )
    try:
        _, said = await process.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            process.terminate()  # it takes back what it has written
        raise
    if process.returncode:
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise UserError(last.removeprefix("zotui: ") or f"the export ended with {process.returncode}")
    return to


def _new(folder: Path, stem: str, ending: str = "") -> Path:
    names = (stem, *(f"{stem}-{number}" for number in range(2, 10_000)))
    return next(path for name in names if not (path := folder / f"{name}{ending}").exists())


def _read(runs: Sequence[RunDir]) -> list[Columns]:
    curves = [Columns(run) for run in runs]
    for one in curves:
        one.refresh()
    return curves
