"""Tuning: which learning rate and eps suit a preset, found before it runs."""

from __future__ import annotations

from typing import NamedTuple

from textual import work
from textual.binding import Binding
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Static

from engine.preset.schema import Preset
from engine.protocol.events import Phase
from engine.protocol.findings import Finding
from zotui.app import glossary
from zotui.app.kit.help import Help
from zotui.app.kit.while_mounted import while_mounted
from zotui.app.preset.asking import Asking
from zotui.engines.tuning import TuneEngine, Tuning
from zotui.text.trials import proposed, spoken, table

_LEFT_OUT = ("tokens", "seconds")  # columns that a narrow terminal has no room for
_CHOSEN = "<- proposed"


class Rate(NamedTuple):
    """What is to be put into the preset."""

    lr: float
    eps: float


class Tune(Asking[Rate | None]):
    """Answers with what is proposed, or with what the probes suggest at first; None leaves everything as it was.

    It can be left at any time: what is being tried is ended first.
    """

    DEFAULT_CSS = """
    Tune .trials { height: auto; width: 1fr; text-wrap: nowrap; margin-top: 1; }
    Tune #on:disabled { display: none; }
    """
    BINDINGS = [
        Binding("enter", "take", "take it", id="tune.take", tooltip="put the proposed rate and eps into the form"),
        Binding(
            "f", "take_first", "first rate", id="tune.first",
            tooltip="put the first rate into the form, which probes alone suggest; trials that go on are ended",
        ),
        Binding(
            "escape,q", "back", "back", key_display="esc", id="tune.back",
            tooltip="end what is being tried, and leave everything as it was",
        ),
        Binding("question_mark,f1", "help", "help", id="tune.help", tooltip="this help"),
    ]  # fmt: skip
    PANE = "trials of a learning rate"
    WAY_ON = "Take it"
    ORDER = ("refused", "warning", "proposed", "now", "first rate")

    def __init__(self, preset: Preset, name: str) -> None:
        method = preset.method
        now = f"{method.name}, lr {method.lr:g}, eps {method.eps:g}"
        super().__init__([("now", Content(now))])
        self._preset, self._called = preset, name
        self._tuning = Tuning()
        self._leaving = self._over = False

    def on_mount(self) -> None:
        """Begin to try."""
        self.query_one("#on", Button).disabled = True
        about = "short trials from one loaded model; nothing of them is kept"
        self.ask(TuneEngine.on(self._preset), f"tune: {self._called}", about)

    def at(self, phase: Phase) -> None:
        """Which trial is at which step."""
        self._tuning.take(phase)
        if self._leaving:
            return
        if not self._tuning.running:
            super().at(phase)
            return
        self.stage(f"trial {self._tuning.running}  ·  {self._so_far}")

    def found(self, finding: Finding) -> None:
        """Add what was found."""
        tuning = self._tuning
        tuning.take(finding)
        if finding is tuning.guess:
            self.rows.append(("first rate", Content(spoken(finding).removeprefix("a first guess: "))))
        elif finding is tuning.proposal:
            self.rows.append(("proposed", Content.assemble((proposed(tuning.proposal), "bold $success"))))
            self.query_one("#on", Button).disabled = False
        elif tuning.trials and not self._leaving:
            self.stage(self._so_far)
        self.refresh_bindings()

    @property
    def _so_far(self) -> str:
        count = len(self._tuning.trials)
        return f"{count} trial{'s'[: count != 1]} so far"

    def below(self) -> list[Widget]:
        """The trials, by rate."""
        if not self._tuning.trials:
            return []
        head, *rows = table(self._tuning.trials.values())
        shown = [column for column, name in enumerate(head) if name not in _LEFT_OUT]
        widths = [max(len(row[column]) for row in (head, *rows)) for column in shown]
        lines = []
        for row in (head, *rows):
            text = "  ".join(row[column].ljust(width) for column, width in zip(shown, widths, strict=True))
            word = row[-1]
            colour = "$success" if word == _CHOSEN else "$quiet" if word or row is head else "$foreground"
            lines.append(Content.assemble((text, colour)))
        return [Static(Content("\n").join(lines), classes="trials")]

    def ended(self, code: int) -> None:
        """Say what can be taken."""
        self._over = True
        if self._leaving:
            return
        if self.refused:
            self.stage("refused: escape goes back", "$error")
        elif self._tuning.proposal is not None:
            self.stage("found: enter puts it into the form", "$success")
        else:
            self.stage(f"tuning ended with code {code}; `zotui tune` shows why", "$warning")

    # -- keys ---------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What there is to take; nothing opens over a screen that is about to go."""
        if action == "help":
            return not self._leaving
        if action == "take":
            return self._tuning.proposal is not None and not self._leaving
        if action == "take_first":
            return self._tuning.guess is not None and self._tuning.guess.lr is not None and not self._leaving
        return True

    def action_help(self) -> None:
        """Explain the keys and the words."""
        self.app.push_screen(Help(self, glossary.TUNE))

    def action_take(self) -> None:
        """What is proposed."""
        if (found := self._tuning.proposal) is not None:
            self._leave(Rate(found.lr, found.eps))

    def action_take_first(self) -> None:
        """What the probes suggest."""
        if (found := self._tuning.guess) is not None and found.lr is not None:
            self._leave(Rate(found.lr, found.eps))

    def go_on(self) -> None:
        """By mouse, too."""
        self.action_take()

    def action_back(self) -> None:
        """Nothing."""
        self._leave(None)

    def _leave(self, answer: Rate | None) -> None:
        """Once the engine has ended: what comes next may need its memory."""
        if self._over:
            self.dismiss(answer)
        elif not self._leaving:
            self._leaving = True
            self.stage("ending what is being tried")
            self.refresh_bindings()
            self._end_engine(answer)

    @work(thread=True, exit_on_error=False)
    def _end_engine(self, answer: Rate | None) -> None:
        if self.engine is not None:
            self.engine.close()
        if self.is_running:
            self.app.call_from_thread(self._left, answer)

    @while_mounted
    def _left(self, answer: Rate | None) -> None:
        self.dismiss(answer)
