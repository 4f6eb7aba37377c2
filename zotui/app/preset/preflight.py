"""The preflight: what a run would start on and take, before it is launched."""

from __future__ import annotations

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Button, Static

from engine.preset.schema import Preset
from engine.protocol.events import Error, Log, Phase
from engine.protocol.findings import Data, Estimate, Finding, Room
from zotui.app import glossary
from zotui.app.kit.frame import frame
from zotui.app.kit.header import HeaderLine
from zotui.app.kit.help import Help
from zotui.app.kit.key_bar import KeyBar
from zotui.app.kit.while_mounted import while_mounted
from zotui.engines.preflight import PreflightEngine
from zotui.text import findings, numbers

_ORDER = (
    *("refused", "warning", "preset", "method", "model", "runtime", "updates"),
    *("data", "prompt", "option", "memory", "host memory", "disk", "estimate"),
)
_APART = ("model", "data", "memory", "host memory", "disk", "estimate")  # with a blank line above
_BAR = 24  # cells


class Preflight(Screen[bool]):
    """Answers whether to launch. What is still being found out does not block that: it is ended first."""

    DEFAULT_CSS = (
        frame("Preflight #findings", "$primary")
        + """
    Preflight { layout: vertical; background: $background; }
    Preflight #findings { height: 1fr; padding: 1 2; }
    Preflight .row { height: auto; width: 1fr; max-width: 130; }
    Preflight .gap { margin-top: 1; }
    Preflight .term { width: 12; color: $quiet; }
    Preflight .meaning { width: 1fr; height: auto; }
    Preflight #way { height: 3; padding: 1 2; background: $background; }
    Preflight #stage { width: 1fr; height: 1; color: $quiet; text-wrap: nowrap; text-overflow: ellipsis; }
    Preflight Button { margin-left: 2; padding: 0 1; }
    Preflight Button, Preflight Button:hover { background: $panel; color: $foreground; }
    Preflight #launch { background: $primary; color: $background; text-style: bold; }
    Preflight #launch:disabled { background: $panel; color: $quiet; text-style: none; }
    Preflight.-short #way { height: 1; padding: 0 2; }
    Preflight.-short #findings { padding: 0 2; }
    """
    )
    AUTO_FOCUS = "#findings"
    BINDINGS = [
        Binding("enter", "launch", "launch", id="preflight.launch", tooltip="launch the run"),
        Binding("escape,q", "back", "back", key_display="esc", id="preflight.back", tooltip="launch nothing"),
        Binding("question_mark,f1", "help", "help", id="preflight.help", tooltip="this help"),
    ]

    def __init__(self, preset: Preset, name: str) -> None:
        super().__init__()
        self._preset, self._called = preset, name
        self._engine: PreflightEngine | None = None
        self._rows = [(term, Content(line)) for term, line in _wanted(preset)]
        self._refused = False
        self._estimate = ""

    def compose(self) -> ComposeResult:
        yield HeaderLine()
        with VerticalScroll(id="findings") as pane:
            pane.border_title = Content("before the first step")
        with Horizontal(id="way"):
            yield Static(id="stage")
            yield Button("Back", id="back", compact=True)
            yield Button("Launch", id="launch", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin to find out."""
        run = self._preset.run
        self.query_one(HeaderLine).show(
            f"preflight: {self._called}",
            f"{numbers.count(run.steps)} steps, batch of {run.batch_size}, seed {run.seed}",
        )
        self._lay_out()
        self._stage("starting")
        self._engine = PreflightEngine.of(self._preset, calibrate=True)
        self._listen(self._engine)

    def on_unmount(self) -> None:
        """Two engines are not to fight for memory, and nobody reads this one any more."""
        if self._engine is not None:
            self._engine.close()

    @work(thread=True, exit_on_error=False)
    def _listen(self, asked: PreflightEngine) -> None:
        for finding in asked.findings():
            if not self.is_running:
                return
            self.app.call_from_thread(self.show, finding)
        code = asked.wait()
        if self.is_running:
            self.app.call_from_thread(self._ended, code)

    @while_mounted
    def show(self, finding: Finding) -> None:
        """Add what was found."""
        if isinstance(finding, Phase):
            progress = "" if finding.progress is None else f"{finding.progress:.0%}"  # first: the rest may be cut
            self._stage(" ".join(part for part in (progress, finding.name, finding.detail) if part))
            return
        if isinstance(finding, Error):
            self._refused = True
            self.query_one("#launch", Button).disabled = True
            self.refresh_bindings()
            self._rows.append(("refused", Content.assemble((finding.text, "$error"))))
        elif isinstance(finding, Log) and finding.level == "warning":
            self._rows.append(("warning", Content.assemble((finding.text, "$warning"))))
        elif isinstance(finding, Room):
            self._rows += _room(finding)
        elif isinstance(finding, Estimate):
            self._rows += _estimate(finding)
            self._estimate = f": about {numbers.rough(finding.total)}, an estimate"
        elif isinstance(finding, Data):
            self._rows += _data(finding)
        else:
            self._rows += [(name, Content(line)) for name, line in findings.rows(finding)]
        self._lay_out()

    @while_mounted
    def _ended(self, code: int) -> None:
        if self._refused:
            self._stage("refused: escape, then n edits the preset", "$error")
        elif code == 0:
            self._stage(f"ready{self._estimate}", "$success")
        else:
            self._stage(f"the preflight ended with code {code}; enter launches it all the same", "$warning")

    def _stage(self, text: str, colour: str = "$quiet") -> None:
        self.query_one("#stage", Static).update(Content.assemble((text, colour)))

    def _lay_out(self) -> None:
        """Groups in one order, whatever came first; rows without a name follow the one above."""
        groups: dict[str, list[tuple[str, Content]]] = {}
        name = ""
        for term, line in self._rows:
            name = term or name
            groups.setdefault(name, []).append((term, line))
        pane = self.query_one("#findings", VerticalScroll)
        with self.app.batch_update():
            pane.remove_children()
            for name in sorted(groups, key=_ORDER.index):
                for place, (term, line) in enumerate(groups[name]):
                    gap = place == 0 and name in _APART and name != min(groups, key=_ORDER.index)
                    shown = term if place == 0 else ""
                    pane.mount(
                        Horizontal(
                            Static(Content(shown), classes="term"),
                            Static(line, classes="meaning"),
                            classes="row gap" if gap and not self.has_class("-short") else "row",
                        )
                    )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What would be refused is not launched."""
        return not (action == "launch" and self._refused)

    def action_help(self) -> None:
        """Explain the keys and the words."""
        self.app.push_screen(Help(self, glossary.PREFLIGHT))

    def action_launch(self) -> None:
        """Launch; what is still being found out is ended first."""
        if self._engine is not None:
            self._engine.close()
        self.dismiss(True)

    def action_back(self) -> None:
        """Launch nothing."""
        self.dismiss(False)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """By mouse."""
        if event.button.id == "launch":
            self.action_launch()
        else:
            self.action_back()


def _wanted(preset: Preset) -> list[tuple[str, str]]:
    """What the preset says itself."""
    method = preset.method
    line = (
        f"{method.name}, rank {method.rank}, interval {method.interval}, queries {method.queries}; "
        f"eps {method.eps:g}, lr {method.lr:g}"
    )
    return [*([("preset", preset.description)] if preset.description else []), ("method", line)]


def _room(found: Room) -> list[tuple[str, Content]]:
    share = found.needed / max(1, found.available)
    full = min(_BAR, max(1, round(share * _BAR)))
    fits = share <= 1
    colour = "$error" if not fits else "$warning" if share > 0.9 else "$success"
    line = Content.assemble(
        ("█" * full, colour),
        ("░" * (_BAR - full), "$line"),
        f"  {numbers.size(found.needed)} of {numbers.size(found.available)} free on {found.where}: ",
        ("fits" if fits else "does not fit", colour),
    )
    parts = "  ".join(f"{name} {numbers.size(size)}" for name, size in found.parts.items())
    return [(found.of, line), ("", Content.assemble((parts, "$quiet")))]


def _estimate(found: Estimate) -> list[tuple[str, Content]]:
    (name, first), *others = findings.rows(found)
    lead = Content.assemble((first, "bold"), ("  an estimate, from a few steps", "$quiet"))
    return [(name, lead), *((term, Content.assemble((line, "$quiet"))) for term, line in others)]


def _data(found: Data) -> list[tuple[str, Content]]:
    rows = [(name, Content(line)) for name, line in findings.rows(found)[: 1 + len(found.notes)]]
    tokens = f"  {findings.tokens(found.prompt.tokens)}"
    rows.append(("prompt", Content.assemble((found.prompt.text, "$accent"), (tokens, "$quiet"))))
    for number, option in enumerate(found.options):
        right = number == found.label and len(found.options) > 1
        tokens = f"  {findings.tokens(option.tokens)}" + ("  the right one here" if right else "")
        colour = "$success" if right else "$foreground"
        rows.append(("option", Content.assemble((option.text.strip(), colour), (tokens, "$quiet"))))
    return rows
