"""How the run ended: a summary, or what went wrong and how to go on."""

from __future__ import annotations

from textual.content import Content

from engine.runs.directory import RunDir
from engine.runs.home import runs_home
from zotui.app.kit.ending import LOG_LINES, Ending
from zotui.app.state.outcome import Outcome
from zotui.app.state.run_state import RunState
from zotui.text import numbers


class Verdict(Ending):
    """How a run ended: what it reached, or what went wrong, and what can be done next."""

    def __init__(self) -> None:
        super().__init__()
        self._outcome: Outcome | None = None

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
            self.show("died", title, subtitle, self._failure(outcome, record), lines=record.log_tail(LOG_LINES))
        else:
            self.show(outcome.kind, title, subtitle, None, self._summary(run, outcome, record))

    def _failure(self, outcome: Outcome, record: RunDir) -> Content:
        lines = [Content.assemble((outcome.text, "$error bold"))]
        if outcome.resumable:
            lines.append(Content("Every finished step is in the journal; nothing learned so far is lost."))
        lines.append(Content.assemble((f"The end of {record.log_file}:", "$quiet")))
        return Content("\n").join(lines)

    def _summary(self, run: RunState, outcome: Outcome, record: RunDir) -> list[tuple[str, Content]]:
        rows: list[tuple[str, str, str]] = []
        first, last = run.first_evaluation, run.last_evaluation
        for name, title, figure in (
            ("accuracy", "accuracy", numbers.accuracy),
            ("loss", "held-out loss", numbers.loss),
        ):
            best = run.best(name)
            if first and last and best and name in first.metrics and name in last.metrics:
                line = f"{figure(first.metrics[name])} → {figure(last.metrics[name])}"
                when = f", {numbers.span(run.reached(best.step))} of steps"
                more = f"best {figure(best.metrics[name])} at step {numbers.count(best.step)}{when}"
                rows.append((title, line, more))
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
        styles = {"accuracy": "bold $success", "next": "bold"}
        return [
            (title, Content.assemble((text, styles.get(title, "")), *([(f"   {more}", "$quiet")] if more else [])))
            for title, text, more in rows
        ]
