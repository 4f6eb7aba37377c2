"""Help: every key, and every word on the screen in plain language."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

COCKPIT_KEYS = {
    "space": "pause after the step in flight, or go on; works during start-up too",
    "c": "write a checkpoint now",
    "e": "evaluate on the held-out examples now",
    "s": "finish the step in flight, save a checkpoint and end the run",
    "r": "resume a run that stopped, failed or died",
    "q": "leave; while the run is live it asks whether to leave it running (ctrl+c and ctrl+q do the same)",
    "t": "switch between dark and light",
    "tab": "move between charts and log; arrows then pan or scroll",
    "+ - 0": "in a chart: zoom in, zoom out, whole run (the mouse wheel zooms too)",
    "?": "this help",
}
START_KEYS = {
    "up down": "move in a list",
    "tab": "move between presets and runs",
    "enter": "on a preset: check what a run would take, enter again launches it; on a run: look at it, or steer it "
    "while it is live",
    "n": "edit a copy of the preset, or of the run's preset, in a form; from there it is run or saved",
    "r": "resume the run under the cursor",
    "d": "delete the run, or the preset of your own, under the cursor; asks first",
    "/": "narrow both lists to a name, standing, preset or model; escape shows everything again",
    "f5": "read the lists again",
    "t": "switch between dark and light",
    "q": "leave (ctrl+c and ctrl+q do the same)",
    "?": "this help",
}
PARITY_KEYS = {
    "q": "leave; a comparison that has not finished is ended (escape, ctrl+c and ctrl+q do the same)",
    "t": "switch between dark and light",
    "tab": "move between the charts; arrows then pan",
    "+ - 0": "in a chart: zoom in, zoom out, all steps (the mouse wheel zooms too)",
    "?": "this help",
}
WORDS = {
    "loss": "How wrong the model is on a batch of training examples: lower is better. A dot is one step, "
    "the line is smoothed over about a twentieth of the run, because single steps are noisy.",
    "update kept": "How much of the intended change is there, residuals included; see model.fold.",
    "signal": "The difference between the two losses of a step against the numerical noise, measured at the start "
    "by scoring one batch over and over; and what is in the way, if the loss does not fall.",
    "accuracy": "Share of held-out examples answered right: before training → now, and the best so far. "
    "The model never trains on these examples.",
    "tok/s": "Tokens scored a second; the speed of the run.",
    "step time": "How long one optimisation step takes: the batch is scored twice, a little to either "
    "side of the current weights, and the difference says which way to go.",
    "KV": "How full the runtime's key-value cache is, out of the part that scoring owns.",
    "GPU": "Memory in use of what the card has, by everything on it, and how busy it is.",
    "memory, CPU": "What the engine and its children take; 100% is one core.",
    "ETA ~": "An estimate from the pace so far; pauses do not count.",
    "checkpoint": "The weights on disk at one step. The journal keeps every step in between as well.",
    "attached": "Another process launched this run, or an app that was left: everything here works on it all the "
    "same, and every attached app sees what the others do.",
    "stopped": "Ended on request, with everything saved: it can be resumed.",
    "crashed": "The engine is gone without a word. Finished steps are kept: it can be resumed.",
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
    """Keys and words, scrollable."""

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
        padding: 1 2;
        scrollbar-size-vertical: 1;
    }
    Help .heading { color: $primary; text-style: bold; height: 1; }
    Help .gap { margin-top: 1; }
    Help .row { layout: horizontal; height: auto; }
    Help .term { width: 14; color: $foreground; text-style: bold; }
    Help .meaning { width: 1fr; height: auto; color: $quiet; }
    """
    BINDINGS = [Binding("escape,question_mark,q,enter", "close", "Close", show=False)]

    def __init__(self, keys: dict[str, str], meanings: dict[str, str] = WORDS) -> None:
        super().__init__()
        self._keys, self._meanings = keys, meanings

    def compose(self) -> ComposeResult:
        with VerticalScroll() as pane:
            pane.border_title = "help"
            pane.border_subtitle = "arrows scroll   escape close"
            yield Static("Keys", classes="heading")
            yield from self._rows(self._keys)
            yield Static("Words", classes="heading gap")
            yield from self._rows(self._meanings)

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)

    def _rows(self, pairs: dict[str, str]) -> ComposeResult:
        for term, meaning in pairs.items():
            yield _Row(
                Static(Content(term), classes="term"),
                Static(Content(meaning), classes="meaning"),
                classes="row",
            )


class _Row(Container):
    """A term and its meaning side by side."""
