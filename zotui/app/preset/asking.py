"""A screen that shows what an engine finds as it finds it, and ends with an answer."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Button, Static

from engine.protocol.events import Error, Log, Phase
from engine.protocol.findings import Finding
from zotui.app.kit.frame import frame
from zotui.app.kit.header import HeaderLine
from zotui.app.kit.key_bar import KeyBar
from zotui.app.kit.while_mounted import while_mounted
from zotui.engines.asked import AskedEngine

Answer = TypeVar("Answer")


class Asking(Screen[Answer]):
    """Rows of a term and its meaning, in groups; below them what the engine is at, and the way on or back."""

    DEFAULT_CSS = (
        frame("Asking #findings", "$primary")
        + """
    Asking { layout: vertical; background: $background; }
    Asking #findings { height: 1fr; padding: 1 2; }
    Asking .row { height: auto; width: 1fr; max-width: 130; }
    Asking .gap { margin-top: 1; }
    Asking .term { width: 12; color: $quiet; }
    Asking .meaning { width: 1fr; height: auto; }
    Asking #way { height: 3; padding: 1 2; background: $background; }
    Asking #stage { width: 1fr; height: 1; color: $quiet; text-wrap: nowrap; text-overflow: ellipsis; }
    Asking Button { margin-left: 2; padding: 0 1; }
    Asking Button, Asking Button:hover { background: $panel; color: $foreground; }
    Asking #on { background: $primary; color: $background; text-style: bold; }
    Asking #on:disabled { background: $panel; color: $quiet; text-style: none; }
    Asking.-short #way { height: 1; padding: 0 2; }
    Asking.-short #findings { padding: 0 2; }
    """
    )
    AUTO_FOCUS = "#findings"

    PANE: ClassVar[str]
    """The title of the findings."""
    WAY_ON: ClassVar[str]
    """What the button says that goes on."""
    ORDER: ClassVar[tuple[str, ...]]
    """The terms in their order; `refused` and `warning` are among them."""
    APART: ClassVar[tuple[str, ...]] = ()
    """Those with a blank line above."""

    def __init__(self, rows: list[tuple[str, Content]]) -> None:
        """`rows`: what is known before anything is found; a row without a term belongs to the one above."""
        super().__init__()
        self.rows = rows
        self.refused = False
        self.engine: AskedEngine | None = None

    def compose(self) -> ComposeResult:
        yield HeaderLine()
        with VerticalScroll(id="findings") as pane:
            pane.border_title = Content(self.PANE)
        with Horizontal(id="way"):
            yield Static(id="stage")
            yield Button("Back", id="back", compact=True)
            yield Button(self.WAY_ON, id="on", compact=True)
        yield KeyBar()

    def ask(self, engine: AskedEngine, title: str, about: str) -> None:
        """Begin to find out."""
        self.query_one(HeaderLine).show(title, about)
        self.lay_out()
        self.stage("starting")
        self.engine = engine
        self._listen(engine)

    def on_unmount(self) -> None:
        """Two engines are not to fight for memory, and nobody reads this one any more."""
        if self.engine is not None:
            self.engine.close()

    @work(thread=True, exit_on_error=False)
    def _listen(self, asked: AskedEngine) -> None:
        for finding in asked.findings():
            if not self.is_running:
                return
            self.app.call_from_thread(self.show, finding)
        code = asked.wait()
        if self.is_running:
            self.app.call_from_thread(self._end, code)

    @while_mounted
    def show(self, finding: Finding) -> None:
        """Add what was found."""
        if isinstance(finding, Phase):
            self.at(finding)
            return
        if isinstance(finding, Error):
            self.refused = True
            self.query_one("#on", Button).disabled = True
            self.refresh_bindings()
            self.rows.append(("refused", Content.assemble((finding.text, "$error"))))
        elif isinstance(finding, Log) and finding.level == "warning":
            self.rows.append(("warning", Content.assemble((finding.text, "$warning"))))
        else:
            self.found(finding)
        self.lay_out()

    @while_mounted
    def _end(self, code: int) -> None:
        self.ended(code)

    def at(self, phase: Phase) -> None:
        """Say what the engine is at."""
        progress = "" if phase.progress is None else f"{phase.progress:.0%}"  # first: the rest may be cut
        self.stage(" ".join(part for part in (progress, phase.name, phase.detail) if part))

    def found(self, finding: Finding) -> None:
        """Make rows of what is neither a stage, an error nor a warning."""
        raise NotImplementedError

    def ended(self, code: int) -> None:
        """The engine has ended."""
        raise NotImplementedError

    def stage(self, text: str, colour: str = "$quiet") -> None:
        """The line below."""
        self.query_one("#stage", Static).update(Content.assemble((text, colour)))

    def lay_out(self) -> None:
        """Groups in one order, whatever came first; rows without a name follow the one above."""
        groups: dict[str, list[tuple[str, Content]]] = {}
        name = ""
        for term, line in self.rows:
            name = term or name
            groups.setdefault(name, []).append((term, line))
        pane = self.query_one("#findings", VerticalScroll)
        with self.app.batch_update():
            pane.remove_children()
            for name in sorted(groups, key=self.ORDER.index):
                for place, (term, line) in enumerate(groups[name]):
                    gap = place == 0 and name in self.APART and name != min(groups, key=self.ORDER.index)
                    shown = term if place == 0 else ""
                    pane.mount(
                        Horizontal(
                            Static(Content(shown), classes="term"),
                            Static(line, classes="meaning"),
                            classes="row gap" if gap and not self.has_class("-short") else "row",
                        )
                    )
            pane.mount(*self.below())

    def below(self) -> list[Widget]:
        """What stands below the rows."""
        return []

    def go_on(self) -> None:
        """What the button that goes on does."""
        raise NotImplementedError

    def action_back(self) -> None:
        """Leave it."""
        raise NotImplementedError

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """By mouse."""
        if event.button.id == "on":
            self.go_on()
        else:
            self.action_back()
