"""What `zotui eval` found, in words."""

from __future__ import annotations

from collections.abc import Sequence

from engine.protocol.findings import Evaluated
from engine.runs.best import by_weight
from engine.runs.directory import RunDir
from zotui.text import numbers
from zotui.text.run_names import reference


def rows(found: Evaluated, run: RunDir | None, step: str) -> list[tuple[str, str]]:
    """A result as rows of a name and a line; `step` is how it was asked for."""
    state = f"after {numbers.count(found.step)} steps" if found.step else "before training"
    if step == "best":
        state += ", which is the best" if found.step else ", which is the best: the run only did harm"
    examples = f"{numbers.count(found.examples)} examples of {found.source}"
    lines = [("run", reference(run)), ("state", state)] if run else [("model", found.model)]
    lines.append(("task", f"{found.task}, {found.split}{shots(found)}: {examples}"))
    lines += [(name, figure(found, name)) for name in names(found)]
    lines.append(("by", f"{found.runtime}, {found.dtype}, {found.device}, in {numbers.span(found.seconds)}"))
    if found.intervals:
        lines.append(("", "in brackets: 95% intervals by Wilson's score, of the examples that were drawn"))
    return [*lines, *([("recorded", str(run.evals_file))] if run else [])]


def table(every: Sequence[Evaluated]) -> list[tuple[str, ...]]:
    """All those of a run, a row each."""
    found: list[tuple[str, ...]] = [("STEP", "TASK", "SPLIT", "EXAMPLES", "METRICS, 95% INTERVALS")]
    for one in every:
        figures = "  ".join(f"{name} {figure(one, name)}" for name in names(one))
        task = f"{one.task}{shots(one)}"
        found.append((numbers.count(one.step), task, one.split, numbers.count(one.examples), figures))
    return found


def names(found: Evaluated) -> list[str]:
    """Of its metrics, that which a run is judged by first."""
    return sorted(found.metrics, key=by_weight)


def figure(found: Evaluated, name: str) -> str:
    """A metric, and its interval where it has one."""
    value, interval = found.metrics[name], found.intervals.get(name)
    text = numbers.metric_figure(name, value)
    return text if interval is None else f"{text} [{interval[0]:.3f}, {interval[1]:.3f}]"


def shots(found: Evaluated) -> str:
    """How many demonstrations stood before a prompt, if any did."""
    return f", {found.shots} shot{'s' * (found.shots != 1)}" if found.shots else ""
