"""Help: every key as it is mapped, and every word on the screen in plain language."""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from zotui.app import keys

PLACES = {"app": "everywhere", "chart": "in a chart", "list": "in a list"}
"""How the places are called that are no screen."""

WORDS = {
    "loss": "How wrong the model is on a batch of training examples: lower is better. A dot is one step, or the "
    "lowest and the highest of several; the line is smoothed, because single steps are noisy.",
    "● ■ · ‖ ▶ ▲": "Under the chart, at their steps: an evaluation, a checkpoint, a fold of what was learned into the "
    "weights, a pause, going on, changed settings. ▴ and ▾ in it: a value off its scale.",
    "update kept": "How much of the intended change is there, residuals included; see model.fold.",
    "signal": "The difference between the two losses of a step against the numerical noise, measured at the start "
    "by scoring one batch over and over; and what is in the way, if the loss does not fall.",
    "accuracy": "Share of held-out examples answered right: before training → now, and the best so far, with its step "
    "and the time it took in steps and evaluations: start-up and pauses are left out. "
    "The model never trains on these examples.",
    "tok/s": "Tokens scored a second; the speed of the run.",
    "step time": "How long one optimisation step takes: the batch is scored twice, a little to either "
    "side of the current weights, and the difference says which way to go.",
    "KV": "How full the runtime's key-value cache is, out of the part that scoring owns.",
    "GPU": "Memory in use of what the card has, by everything on it; how busy, warm and hungry it is. Where there is "
    "room each of them has a tile, and every other GPU of the machine one.",
    "memory, CPU": "What the engine and its children take, and this app; 100% is one core.",
    "ETA ~": "An estimate from the pace so far; pauses do not count.",
    "checkpoint": "The weights on disk at one step. The journal keeps every step in between as well.",
    "attached": "Another process launched this run, or an app that was left: everything here works on it all the "
    "same, and every attached app sees what the others do.",
    "stopped": "Ended on request, with everything saved: it can be resumed.",
    "crashed": "The engine is gone without a word. Finished steps are kept: it can be resumed.",
}
COMPARE_WORDS = {
    "time": "What the steps took, added up as they were measured: without start-up, evaluations and pauses. "
    "`time in all` is with them.",
    "tokens": "What was scored until then; both sides of every step.",
    "smoothed": "A running mean over about so many steps. A held-out figure is drawn as it was measured.",
    "train loss": "Smoothed: over the first ten steps → up to the last.",
    "held-out": "At the first evaluation → at the last.",
    "best": "The evaluation after the first step with the highest accuracy, then the lowest loss; the step, and the "
    "time of the steps until then.",
    "live": "A live run is followed: every two seconds what it added is read.",
}
PARITY_WORDS = {
    "loss": "Of a step's batch, the mean of both probes: a little to either side of the weights.",
    "difference": "Of a loss, in nats: the larger one of the step's two probes. Rounding alone makes it about "
    "1e-7 in float32, and more as the steps add up.",
    "tolerance": "How large a difference may be; --tolerance sets it.",
    "g": "The projected gradient: the difference of the two losses over twice eps. Its sign says which "
    "way the weights go, so another sign is a step the other way.",
    "median step": "Of each side, the first step left out, and how many times faster ours is. A recording "
    "has no times.",
    "within": "No step's difference was larger than the tolerance: exit code 0, else 1.",
}


class Help(ModalScreen[None]):
    """The keys of a screen and the words on it, scrollable."""

    DEFAULT_CSS = """
    Help { align: center middle; background: $background 60%; }
    Help VerticalScroll {
        width: 96;
        max-width: 94%;
        height: auto;
        max-height: 90%;
        border: round $primary;
        border-title-color: $foreground;
        border-title-style: bold;
        border-subtitle-color: $quiet;
        background: $surface;
        padding: 0 2 1 2;
        scrollbar-size-vertical: 1;
    }
    Help .heading { color: $primary; text-style: bold; height: 1; }
    Help .gap { margin-top: 1; }
    Help .row { layout: horizontal; height: auto; }
    Help .term { width: 18; height: auto; padding-right: 2; color: $foreground; text-style: bold; }
    Help .meaning { width: 1fr; height: auto; color: $quiet; }
    """
    BINDINGS = [
        Binding(
            "escape,question_mark,q,enter", "close", "Close", show=False, id="help.close", tooltip="close this help"
        )
    ]

    def __init__(self, screen: Screen[None], meanings: dict[str, str] = WORDS) -> None:
        super().__init__()
        self._screen, self._meanings = screen, meanings

    def compose(self) -> ComposeResult:
        with VerticalScroll() as pane:
            pane.border_title = "help"
            pane.border_subtitle = "arrows scroll   escape close"
            groups = keys.on_screen(self._screen, self.app, self.app._keymap)
            for place, actions in groups.items():
                yield Static(f"Keys {PLACES[place]}" if place in PLACES else "Keys", classes="heading gap")
                yield from self._rows((action.shown, action.text) for action in actions)
            yield Static("Words", classes="heading gap")
            yield from self._rows(self._meanings.items())
            yield Static(Content("zotui config show lists the keys that config.toml can change"), classes="meaning gap")

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)

    def _rows(self, pairs: Iterable[tuple[str, str]]) -> ComposeResult:
        for term, meaning in pairs:
            yield _Row(
                Static(Content(term), classes="term"),
                Static(Content(meaning), classes="meaning"),
                classes="row",
            )


class _Row(Container):
    """A term and its meaning side by side."""
