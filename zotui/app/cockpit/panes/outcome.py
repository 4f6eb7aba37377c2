"""How the run ended: a summary, or what went wrong and how to go on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from engine.runs.best import JUDGES
from engine.runs.directory import RunDir
from engine.runs.home import runs_home
from zotui.app.kit.rows import Rows
from zotui.app.state.outcome import Outcome
from zotui.app.state.run_state import RunState
from zotui.text import numbers

_LOG_LINES = 15


class Verdict(Vertical):
    """How a run ended: what it reached, or what went wrong, and what can be done next. Hidden until it has."""

    SCOPED_CSS = False  # the size of the screen is a class on the screen
    DEFAULT_CSS = """
    Verdict {
        display: none;
        height: auto;
        border: round $success;
        border-title-color: $success;
        border-title-style: bold;
        border-subtitle-color: $foreground;
        background: $surface;
        padding: 0 1;
    }
    Verdict.-stopped { border: round $warning; border-title-color: $warning; }
    Verdict.-died { border: round $error; border-title-color: $error; background: $error 8%; }
    Verdict #tail { display: none; height: auto; max-height: 17; scrollbar-size-vertical: 1; color: $quiet; }
    Verdict.-died #tail { display: block; }
    Verdict #lines { width: 1fr; height: auto; }
    .-tall Verdict #tail { max-height: 8; }
    .-short Verdict.-died { height: 1fr; }
    .-short Verdict #tail { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__(id="verdict")
        self._outcome: Outcome | None = None

    def compose(self) -> ComposeResult:
        yield Rows(15, id="said")
        with VerticalScroll(id="tail"):
            yield Static(id="lines")

    @property
    def text(self) -> str:
        """What it says, without the colours."""
        said, lines = self.query_one(Rows), self.query_one("#lines", Static)
        return f"{self.border_title}\n{said.text}\n{lines.content}\n{self.border_subtitle}"

    def refresh_verdict(self, run: RunState, record: RunDir) -> None:
        """Show how the run ended, once it has."""
        outcome = run.outcome
        if outcome is self._outcome:
            return
        self._outcome = outcome
        if outcome is None:
            self.display = False
            return
        failed = outcome.kind in ("died", "refused")
        steps = numbers.count(run.done)
        title = {
            "finished": "finished",
            "stopped": f"stopped and saved at step {steps}",
            "died": f"the engine died at step {steps}",
            "refused": "the engine refused to go on",
        }[outcome.kind]
        resume = "r resume where it was   " if outcome.resumable else ""
        subtitle = f"{resume}q leave"
        if failed:
            self._show("died", title, subtitle, self._failure(outcome, record), lines=record.log_tail(_LOG_LINES))
        else:
            self._show(outcome.kind, title, subtitle, None, self._summary(run, outcome, record))

    def _show(
        self,
        kind: str,
        title: str,
        subtitle: str,
        lead: Content | None,
        rows: Sequence[tuple[str, Content]] = (),
        lines: Sequence[str] = (),
    ) -> None:
        """How it ended: finished, stopped or died, the latter with the last lines of a log."""
        self.display = True
        self.set_class(kind == "died", "-died")
        self.set_class(kind == "stopped", "-stopped")
        self.border_title, self.border_subtitle = title, subtitle
        self.query_one(Rows).show(lead, rows)
        self.query_one("#lines", Static).update(Content("\n".join(lines)))
        if lines:  # the last line is mostly the one that says it
            self.query_one("#tail").call_after_refresh(self._to_the_end)

    def on_resize(self) -> None:
        """The lines are wrapped otherwise."""
        self.call_after_refresh(self._to_the_end)

    def _to_the_end(self) -> None:
        for tail in self.query("#tail").results(VerticalScroll):  # none is there once the screen is being left
            tail.scroll_end(animate=False)

    def _failure(self, outcome: Outcome, record: RunDir) -> Content:
        lines = [Content.assemble((outcome.text, "$error bold"))]
        if outcome.resumable:
            lines.append(Content("Every finished step is in the journal; nothing learned so far is lost."))
        lines.append(Content.assemble((f"The end of {record.log_file}:", "$quiet")))
        return Content("\n").join(lines)

    def _summary(self, run: RunState, outcome: Outcome, record: RunDir) -> list[tuple[str, Content]]:
        rows: list[tuple[str, str, str]] = []
        first, last = run.first_evaluation, run.last_evaluation
        for name in JUDGES:
            best, figure = run.best(name), partial(numbers.metric_figure, name)
            if first and last and best and name in first.metrics and name in last.metrics:
                line = f"{figure(first.metrics[name])} → {figure(last.metrics[name])}"
                when = f", {numbers.span(run.reached(best.step))} of steps" if best.step else ": the run only did harm"
                when = when if best.step or first is not last else ""
                more = f"best {figure(best.metrics[name])} {numbers.at_step(best.step)}{when}"
                rows.append(("held-out loss" if name == "loss" else name, line, more))
        if run.loss is not None and run.loss_at_start is not None:
            line = f"{numbers.loss(run.loss_at_start)} → {numbers.loss(run.loss)}"
            rows.append(("training loss", line, "smoothed"))
        told = run.update_kept
        if told is not None:
            line = numbers.update_kept(told.update_kept, told.update_cosine)
            rows.append(("update kept", line, f"up to step {numbers.count(told.step)}"))
        seconds = (outcome.time or {}).get("total", outcome.seconds)  # of every engine of the run, where it told
        took = "" if not seconds else f"in {numbers.duration(seconds)} ({seconds:.1f} s)"
        rows.append(("steps", f"{numbers.count(run.done)} of {numbers.count(run.steps)}", took))
        if outcome.time and seconds:
            rows.append(("time", numbers.time_spent(outcome.time), ""))
        figures = run.signal.figures()
        if figures is not None:
            rows.append(("signal", figures.verdict.text, ""))
        if outcome.text:
            rows.append(("why", outcome.text, ""))
        rows.append(("run", str(record.path), ""))
        name = record.name if record.path.parent == runs_home().absolute() else str(record.path)
        rows.append(
            ("next", f"zotui export {name} --to DIR --format merged" if run.done else f"zotui resume {name}", "")
        )
        styles = {"accuracy": "bold $success", "f1": "bold $success", "next": "bold"}
        return [
            (title, Content.assemble((text, styles.get(title, "")), *([(f"   {more}", "$quiet")] if more else [])))
            for title, text, more in rows
        ]
