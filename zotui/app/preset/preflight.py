"""The preflight: what a run would start on and take, before it is launched."""

from __future__ import annotations

from textual.binding import Binding
from textual.content import Content

from engine.preset.schema import Preset
from engine.protocol.findings import Data, Estimate, Finding, Room
from zotui.app import glossary
from zotui.app.kit.help import Help
from zotui.app.preset.asking import Asking
from zotui.engines.preflight import PreflightEngine
from zotui.text import findings, numbers

_BAR = 24  # cells


class Preflight(Asking[bool]):
    """Answers whether to launch. What is still being found out does not block that: it is ended first."""

    BINDINGS = [
        Binding("enter", "launch", "launch", id="preflight.launch", tooltip="launch the run"),
        Binding("escape,q", "back", "back", key_display="esc", id="preflight.back", tooltip="launch nothing"),
        Binding("question_mark,f1", "help", "help", id="preflight.help", tooltip="this help"),
    ]
    PANE = "before the first step"
    WAY_ON = "Launch"
    ORDER = (
        *("refused", "warning", "preset", "method", "model", "runtime", "updates"),
        *("data", "prompt", "option", "memory", "host memory", "disk", "estimate"),
    )
    APART = ("model", "data", "memory", "host memory", "disk", "estimate")

    def __init__(self, preset: Preset, name: str) -> None:
        super().__init__([(term, Content(line)) for term, line in _wanted(preset)])
        self._preset, self._called = preset, name
        self._estimate = ""

    def on_mount(self) -> None:
        """Begin to find out."""
        run = self._preset.run
        about = f"{numbers.count(run.steps)} steps, batch of {run.batch_size}, seed {run.seed}"
        self.ask(PreflightEngine.of(self._preset, calibrate=True), f"preflight: {self._called}", about)

    def found(self, finding: Finding) -> None:
        """Add what was found."""
        if isinstance(finding, Room):
            self.rows += _room(finding)
        elif isinstance(finding, Estimate):
            self.rows += _estimate(finding)
            self._estimate = f": about {numbers.rough(finding.total)}, an estimate"
        elif isinstance(finding, Data):
            self.rows += _data(finding)
        else:
            self.rows += [(name, Content(line)) for name, line in findings.rows(finding)]

    def ended(self, code: int) -> None:
        """Say whether it is ready."""
        if self.refused:
            self.stage("refused: escape, then n edits the preset", "$error")
        elif code == 0:
            self.stage(f"ready{self._estimate}", "$success")
        else:
            self.stage(f"the preflight ended with code {code}; enter launches it all the same", "$warning")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What would be refused is not launched."""
        return not (action == "launch" and self.refused)

    def action_help(self) -> None:
        """Explain the keys and the words."""
        self.app.push_screen(Help(self, glossary.PREFLIGHT))

    def action_launch(self) -> None:
        """Launch; what is still being found out is ended first."""
        if self.engine is not None:
            self.engine.close()
        self.dismiss(True)

    def go_on(self) -> None:
        """By mouse, too."""
        self.action_launch()

    def action_back(self) -> None:
        """Launch nothing."""
        self.dismiss(False)


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
