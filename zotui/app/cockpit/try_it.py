"""Try it: a prompt or an example, answered by the weights as they are beside those of the base model."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from engine.protocol.commands import Try
from engine.protocol.events import Answer, Tried
from zotui.app.cockpit.whom import Whom
from zotui.app.kit.while_mounted import while_mounted
from zotui.text import numbers

_BAR = 16  # cells
_LOOK_EVERY = 0.25  # seconds


class TryIt(ModalScreen[None]):
    """Asks whoever has the weights, and shows the answers, the newest first; training goes on around it."""

    DEFAULT_CSS = """
    TryIt { align: center middle; background: $background 60%; }
    TryIt #pane {
        width: 110; max-width: 96%; height: 92%; padding: 0 1;
        border: round $primary; border-title-color: $foreground; border-title-style: bold;
        border-subtitle-color: $quiet; background: $surface;
    }
    TryIt Input, TryIt Input:focus { border: none; height: 1; padding: 0 1; margin-bottom: 1; background: $panel; }
    TryIt Input:focus { background: $block-cursor-background; }
    TryIt .label { color: $quiet; height: 1; }
    TryIt #said { height: auto; color: $quiet; margin-bottom: 1; }
    TryIt #answers { height: 1fr; scrollbar-size-vertical: 1; }
    TryIt .answer { height: auto; margin-bottom: 1; }
    """
    BINDINGS = [
        Binding(
            "ctrl+e", "example", "an example", show=False, priority=True, id="try.example",
            tooltip="ask the next example of the validation split",
        ),
        Binding("up", "app.focus_previous", show=False, id="try.previous", tooltip="the field above"),
        Binding("down", "app.focus_next", show=False, id="try.next", tooltip="the field below"),
        Binding(
            "ctrl+b", "other_state", "best or last", show=False, priority=True, id="try.state",
            tooltip="of a run that is over: the state at its best evaluation, or its last",
        ),
        Binding("escape", "close", "back", show=False, id="try.back", tooltip="back to the cockpit"),
    ]  # fmt: skip

    def __init__(self, whom: Whom, options: Sequence[str] = ()) -> None:
        """`options`: those of the task."""
        super().__init__()
        self._whom, self._options = whom, " | ".join(options)
        self._next, self._example = secrets.randbits(48), 0
        self._asked: set[int] = set()
        self._shown: set[int] = set()
        self._fault = ""  # of what was typed

    def compose(self) -> ComposeResult:
        with Vertical(id="pane") as pane:
            pane.border_title = "try it"
            yield Static(Content("prompt"), classes="label")
            yield Input(id="prompt", placeholder="any text")
            yield Static(Content("options, with | between; without any, the model writes on"), classes="label")
            yield Input(self._options, id="options", placeholder="such as: terrible | great")
            yield Static(id="said")
            yield VerticalScroll(id="answers")

    def on_mount(self) -> None:
        """Look for answers now and then."""
        self._whom.begin()
        self._say()
        self.set_interval(_LOOK_EVERY, self.look)

    @on(Input.Submitted)
    def ask(self) -> None:
        """Ask what was typed."""
        prompt = self.query_one("#prompt", Input).value
        options = [part.strip() for part in self.query_one("#options", Input).value.split("|")]
        options = [option for option in options if option]
        if len(options) == 1:
            self._fault = "one option has nothing to be compared with: put | between two"
            self._say()
        elif prompt.strip():
            self._put(Try(id=self._next, prompt=prompt, options=options))

    @on(Input.Changed)
    def again(self) -> None:
        """What is typed now may be right."""
        self._fault = ""

    def action_example(self) -> None:
        """Ask the next example of the validation split."""
        self._put(Try(id=self._next, example=self._example))
        self._example += 1

    def on_unmount(self) -> None:
        """Nobody reads the answers any more."""
        self._whom.close()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Of a live run there is one state alone."""
        return self._whom.other is not None if action == "other_state" else True

    def action_other_state(self) -> None:
        """Ask the best state instead of the last, or the other way round; what was not answered is forgotten."""
        self._whom.change_state()
        self._asked &= self._shown
        self._say()

    def action_close(self) -> None:
        """Back to the cockpit."""
        self.dismiss(None)

    @while_mounted
    def look(self) -> None:
        """Show the answers that have come."""
        for tried in list(self._whom.tried):
            if tried.id in self._asked and tried.id not in self._shown:
                self._shown.add(tried.id)
                if tried.note.startswith("example ") and self._example:
                    self._example = 0  # that was the end of the split
                self.query_one("#answers", VerticalScroll).mount(Static(answered(tried), classes="answer"), before=0)
        self._say()

    def _put(self, command: Try) -> None:
        if self._whom.send(command):
            self._asked.add(command.id)
            self._next += 1
        self._say()

    def _say(self) -> None:
        whom = self._whom
        waiting = len(self._asked) - len(self._shown)
        other = f"   ctrl+b {whom.other}" if whom.other else ""
        asks = f"enter asks   ctrl+e an example{other}   " if not whom.over or other else ""
        self.query_one("#pane").border_subtitle = f"{asks}escape back"
        if self._fault:
            text = self._fault
        elif whom.over:
            text = whom.over
        elif waiting:
            text = whom.waiting
        elif not self._shown or whom.stage:
            text = whom.stage or whom.about
        else:
            text = ""
        said = self.query_one("#said", Static)
        said.update(Content(text))
        said.display = bool(text)


def answered(tried: Tried) -> Content:
    """An answer for the screen: the prompt, then every option or text by both states of the weights."""
    lines = [Content.styled(f"step {numbers.count(tried.step)}  ", "$quiet") + Content(_short(tried.prompt))]
    now, base = tried.now, tried.base
    if tried.note:
        lines.append(Content.styled(tried.note, "$warning"))
    if now is not None and now.probabilities:
        width = min(24, max(map(len, tried.options), default=0))
        right = "" if tried.label is None else " right"
        lines.append(Content.styled(f"  {'':<{width + len(right)}}   {'now':<{_BAR + 7}} base model", "$quiet"))
        for index, option in enumerate(tried.options):
            lines.append(
                Content(f"  {_short(option, width):<{width}}")
                + Content.styled(f"{right if index == tried.label else '':<{len(right)}}   ", "$success")
                + Content.styled(f"{_bar(now, index):<{_BAR + 7}} ", "$primary")
                + Content.styled(f"{_bar(base, index)}", "$quiet")
            )
    elif now is not None:
        lines += [Content.styled("  now   ", "$primary") + Content(now.text.strip() or "(nothing)")]
        if base is not None:
            lines += [Content.styled("  base  ", "$quiet") + Content(base.text.strip() or "(nothing)")]
        if tried.options:
            lines += [Content.styled("  wanted  ", "$success") + Content(tried.options[0])]
    return Content("\n").join(lines)


def _bar(answer: Answer | None, index: int) -> str:
    if answer is None or index >= len(answer.probabilities):
        return numbers.NOTHING
    share = answer.probabilities[index]
    return f"{share:5.1%} {'█' * round(share * _BAR)}"


def _short(text: str, most: int = 400) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
