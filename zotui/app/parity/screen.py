"""The view of a comparison: two curves, how far apart they are, and the verdict."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import Screen

from engine.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from zotui.app import glossary
from zotui.app.kit.ending import LOG_LINES, Ending
from zotui.app.kit.header import HeaderLine
from zotui.app.kit.help import Help
from zotui.app.kit.key_bar import KeyBar
from zotui.app.kit.pace import REDRAW_EVERY
from zotui.app.kit.progress_line import ProgressLine
from zotui.app.kit.while_mounted import while_mounted
from zotui.app.parity.charts import CurvesChart, DeviationStrip
from zotui.app.parity.state import Compared
from zotui.app.parity.tiles import ParityTiles
from zotui.app.state.feed import ComparisonFeed
from zotui.text import numbers

_LOGGED = re.compile(r"^(\(\S+ pid=\d+\) )?[A-Z]+ \d\d-\d\d [\d:]+ \[\S+\] ")
"""What vLLM's logger puts before a message: of no use to those who wait."""


class Parity(Screen[None]):
    """Watches a comparison: twice a second takes what came, and draws it."""

    DEFAULT_CSS = """
    Parity { layout: vertical; background: $background; }
    Parity #charts { height: 1fr; }
    Parity #curves { height: 3fr; }
    Parity #deviation { height: 2fr; }
    Parity.-short #deviation { height: 3fr; }
    Parity.-beyond Ending { border: round $error; border-title-color: $error; }
    Parity.-short.-answered Ending { border: none; background: $success 20%; }
    Parity.-short.-answered.-beyond Ending { background: $error 20%; }
    Parity.-failed ParityTiles, Parity.-failed #charts { display: none; }
    Parity.-failed.-tall.-begun ParityTiles, Parity.-failed.-tall.-begun #charts { display: block; }
    Parity.-failed.-huge.-begun ParityTiles, Parity.-failed.-huge.-begun #charts { display: block; }
    """
    AUTO_FOCUS = ""
    BINDINGS = [
        Binding(
            "q,escape", "leave", "quit", id="parity.leave",
            tooltip="leave; a comparison that has not finished is ended",
        ),
        Binding("t", "app.toggle_theme", "theme", id="app.theme"),
        Binding(
            "tab", "app.focus_next", "next chart", show=False, id="parity.next_pane",
            tooltip="move between the charts; arrows then pan",
        ),
        Binding("question_mark,f1", "help", "help", id="parity.help", tooltip="this help"),
    ]  # fmt: skip

    class Left(Message):
        """The user is done here, or there is nothing to see: the exit code, and what is to be said."""

        def __init__(self, code: int, text: str) -> None:
            super().__init__()
            self.code, self.text = code, text

    def __init__(self, feed: ComparisonFeed, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.feed = feed
        self.comparison = feed.comparison
        self.compared = Compared(self.comparison.tolerance, clock)
        self._ended = False

    def compose(self) -> ComposeResult:
        ours, theirs = ("replayed", "recorded") if self.comparison.recorded else ("vllm", "training loop")
        yield HeaderLine()
        yield ProgressLine()
        yield ParityTiles(ours, theirs)
        yield Ending()
        with Vertical(id="charts"):
            yield CurvesChart(ours, theirs)
            yield DeviationStrip(self.comparison.tolerance)
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin to watch."""
        self.feed.start()
        self.set_interval(REDRAW_EVERY, self._poll)
        self.redraw()

    def on_unmount(self) -> None:
        """Nobody watches any more: it has no other use."""
        self.feed.close()

    def redraw(self) -> None:
        """Take what came, and show everything as it is now."""
        self._show(now=True)

    def _poll(self) -> None:
        self._show(now=False)

    @while_mounted
    def _show(self, *, now: bool) -> None:
        compared = self.compared
        for item in self.feed.drain():
            compared.apply(item)
        now = now or compared.code is not None
        self._header()
        self._progress()
        self.query_one(ParityTiles).refresh_figures(compared)
        self.set_class(compared.done > 0, "-begun")
        if compared.code is not None and not self._ended:
            self._ended = True
            self._end()
        self.query_one(CurvesChart).refresh_curve(compared, now=now)
        self.query_one(DeviationStrip).refresh_curve(compared, now=now)

    def _header(self) -> None:
        source, summary = self.comparison.source, self.compared.summary or {}
        about = "parity with a recording" if self.comparison.recorded else "parity of two runtimes"
        keys = ("runtime", "family", "scope", "objective") if self.comparison.recorded else ()
        told = [str(summary[key]) for key in keys if summary.get(key)]
        name = source.name if self.comparison.recorded else source.stem
        self.query_one(HeaderLine).show(name, "  ·  ".join([about, *told]))

    def _progress(self) -> None:
        compared = self.compared
        word, colour, middle = self._word()
        elapsed = f"elapsed {numbers.duration(compared.pace.elapsed())}"
        if not compared.steps:
            self.query_one(ProgressLine).show(word, colour, middle, elapsed, None)
            return
        share = compared.done / compared.steps
        right = f"step {numbers.count(compared.done)}/{numbers.count(compared.steps)}  {share:.0%}  {elapsed}"
        self.query_one(ProgressLine).show(word, colour, middle, right, share)

    def _word(self) -> tuple[str, str, str]:
        """What is going on, its colour, and more about it."""
        compared = self.compared
        if compared.failed:
            return "failed", "$error", ""
        if compared.summary is not None:
            colour = "$success" if compared.summary["ok"] else "$error"
            return self._verdict(), colour, ""
        if compared.done:
            return "comparing", "$error" if compared.beyond else "$success", ""
        return "loading", "$primary", _LOGGED.sub("", "".join(self.comparison.log_tail(1)))

    def _end(self) -> None:
        summary = self.compared.summary
        if self.compared.failed:
            if self.compared.code == EXIT_USAGE:
                self.post_message(self.Left(EXIT_USAGE, self._last_words()))
                return
            self.add_class("-failed")
            title = f"the comparison died at step {numbers.count(self.compared.done)}"
            said = Content.assemble((self._last_words(), "$error bold"), "\n", ("The end of its log:", "$quiet"))
            self.query_one(Ending).show("died", title, "q leave", said, lines=self.comparison.log_tail(LOG_LINES))
        elif summary is not None:
            self.add_class("-answered")
            self.set_class(not summary["ok"], "-beyond")
            losses, grads = (_difference(summary[key]) for key in ("max_loss_diff", "max_grad_rel_diff"))
            steps = numbers.count(summary["steps"])
            said = Content(f"{steps} steps: losses differ by up to {losses} nats, g by {grads} of its rms")
            self.query_one(Ending).show("finished", self._verdict(), "q leave", said)

    def _verdict(self) -> str:
        summary = self.compared.summary
        return f"{'within' if summary and summary['ok'] else 'NOT within'} {self.compared.tolerance:g}"

    def _last_words(self) -> str:
        """Why it would not, or could not go on: its one line, else the last of the log."""
        lines = self.comparison.log_tail(LOG_LINES)
        own = [line for line in lines if line.startswith("zotui: ")]
        return (own or lines or [f"zotui: the comparison ended with exit code {self.compared.code}"])[-1]

    def action_help(self) -> None:
        """Explain the keys and the words."""
        self.app.push_screen(Help(self, glossary.PARITY))

    def action_leave(self) -> None:
        """Leave: what has not ended is ended."""
        compared = self.compared
        if compared.code is not None:
            self.post_message(self.Left(compared.code, self._last_words() if compared.failed else ""))
        elif compared.summary is not None:  # it only has to go
            self.post_message(self.Left(EXIT_DONE if compared.summary["ok"] else EXIT_FAILED, ""))
        else:
            self.post_message(self.Left(EXIT_INTERRUPTED, ""))


def _difference(value: float | None) -> str:
    # What is not finite is null in JSON.
    return numbers.difference(math.inf if value is None else value)
