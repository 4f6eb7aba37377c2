"""How the run ended: a summary, or what went wrong and how to go on."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from engine.rundir import RunDir, runs_home
from zotui.app import words
from zotui.app.state import Outcome, RunState

LOG_LINES = 15


class Verdict(Vertical):
    """Hidden while a run goes on."""

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
    Verdict #said { width: 1fr; height: auto; }
    Verdict #tail { display: none; height: auto; max-height: 17; scrollbar-size-vertical: 1; color: $quiet; }
    Verdict.-died #tail { display: block; }
    Verdict #lines { width: 1fr; height: auto; }
    .-short Verdict.-died { height: 1fr; }
    .-short Verdict #tail { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__(id="verdict")
        self._outcome: Outcome | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="said")
        with VerticalScroll(id="tail"):
            yield Static(id="lines")

    @property
    def text(self) -> str:
        """What it says, without the colours."""
        said, lines = self.query_one("#said", Static), self.query_one("#lines", Static)
        return f"{self.border_title}\n{said.content}\n{lines.content}\n{self.border_subtitle}"

    def refresh_verdict(self, run: RunState, record: RunDir) -> None:
        """Show how the run ended, once it has."""
        outcome = run.outcome
        if outcome is self._outcome:
            return
        self._outcome = outcome
        self.display = outcome is not None
        if outcome is None:
            return
        failed = outcome.kind in ("died", "refused")
        self.set_class(failed, "-died")
        self.set_class(outcome.kind == "stopped", "-stopped")
        steps = words.count(run.done)
        self.border_title = {
            "finished": "finished",
            "stopped": f"stopped and saved at step {steps}",
            "died": f"the engine died at step {steps}",
            "refused": "the engine refused to go on",
        }[outcome.kind]
        resume = "r resume where it was   " if outcome.resumable else ""
        self.border_subtitle = f"{resume}q leave"
        said = self._failure(outcome, record) if failed else self._summary(run, outcome, record)
        self.query_one("#said", Static).update(said)
        lines = record.log_tail(LOG_LINES) if failed else []
        self.query_one("#lines", Static).update(Content("\n".join(lines)))
        if failed:  # the last line is mostly the one that says it
            self.query_one("#tail").call_after_refresh(self._to_the_end)

    def _to_the_end(self) -> None:
        self.query_one("#tail", VerticalScroll).scroll_end(animate=False)

    def _failure(self, outcome: Outcome, record: RunDir) -> Content:
        lines = [Content.assemble((outcome.text, "$error bold"))]
        if outcome.resumable:
            lines.append(Content("Every finished step is in the journal; nothing learned so far is lost."))
        lines.append(Content.assemble((f"The end of {record.log_file}:", "$quiet")))
        return Content("\n").join(lines)

    def _summary(self, run: RunState, outcome: Outcome, record: RunDir) -> Content:
        rows: list[tuple[str, str, str]] = []
        first, last = run.first_evaluation, run.last_evaluation
        for name, title, figure in (
            ("accuracy", "accuracy", words.accuracy),
            ("loss", "held-out loss", words.loss),
        ):
            best = run.best(name)
            if first and last and best and name in first.metrics and name in last.metrics:
                line = f"{figure(first.metrics[name])} → {figure(last.metrics[name])}"
                rows.append((title, line, f"best {figure(best.metrics[name])} at step {words.count(best.step)}"))
        if run.losses.smooth and run.losses.mean is not None:
            line = f"{words.loss(run.losses.smooth[0])} → {words.loss(run.losses.mean)}"
            rows.append(("training loss", line, "smoothed"))
        took = "" if outcome.seconds is None else f"in {words.duration(outcome.seconds)} ({outcome.seconds:.1f} s)"
        rows.append(("steps", f"{words.count(run.done)} of {words.count(run.steps)}", took))
        rows.append(("run", str(record.path), ""))
        name = record.name if record.path.parent == runs_home().absolute() else str(record.path)
        rows.append(("next", f"zotui export {name} --to DIR --format merged", ""))
        styles = {"accuracy": "bold $success", "next": "bold"}
        return Content("\n").join(
            Content.assemble((f"{title:<15}", "$quiet"), (text, styles.get(title, "")), (f"   {more}", "$quiet"))
            for title, text, more in rows
        )
