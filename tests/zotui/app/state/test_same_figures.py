"""A run has one loss at the start, one best and one time to it, wherever it is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from engine.protocol.events import Done, Eval, Hello
from engine.runs.directory import RunDir
from tests.zotui.recorded_runs import recorded
from zotui.app.state.feed import Item, Past, RecordsFeed
from zotui.app.state.history import past
from zotui.app.state.run_state import RunState
from zotui.headless.progress import result_table
from zotui.runs.curves import Columns
from zotui.runs.side_by_side import result

STEPS = 6000  # more than the points of a curve, which joins them then


@pytest.fixture
def run(home: Path) -> RunDir:
    """Its best lies in the middle."""
    made = recorded(home / "runs" / "opt", 0)
    made.evaluations_file.unlink()
    other = recorded(home / "runs" / "other", STEPS)
    made.journal_file.write_bytes(other.journal_file.read_bytes())
    for step, accuracy, loss in ((0, 0.6, 0.7), (2000, 0.7, 0.52), (4000, 0.7, 0.5), (STEPS, 0.6, 0.49)):
        metrics = {"loss": loss, "accuracy": accuracy}
        made.add_evaluation({"step": step, "split": "validation", "metrics": metrics, "examples": 10})
    return made


def hello(run: RunDir, first_step: int = 0) -> Hello:
    return Hello(
        run=str(run.path), name=run.name, preset="p", model="m", runtime="vllm", device="cpu", dtype="float32",
        steps=run.summary().steps, first_step=first_step,
    )  # fmt: skip


def live(run: RunDir, first: int) -> Iterator[Item]:
    """What an engine says from a step on; evaluations take time, which is not that of steps."""
    taken = {one.step: one.metrics for one in run.evaluations()}
    records = list(run.journal())
    for done in range(first, STEPS + 1):
        if done in taken:
            yield Eval(step=done, split="validation", metrics=taken[done], examples=10, seconds=100.0)
        if done < STEPS:
            yield structs.replace(records[done], tokens_per_s=1.0)


def watched(run: RunDir) -> list[Item]:
    return [hello(run), *live(run, 0)]


def attached(run: RunDir) -> list[Item]:
    return [hello(run, 2500), *map(Past, past(run, 2500)), *live(run, 2500)]


def viewed(run: RunDir) -> list[Item]:
    return [RecordsFeed(run)._view(), *RecordsFeed(run)._read()]


@pytest.mark.parametrize("way", [watched, attached, viewed])
def test_the_cockpit_and_a_comparison_agree(run: RunDir, way) -> None:
    seen = RunState(run.name)
    for item in way(run):
        seen.apply(item)
    curves = Columns(run)
    curves.refresh()
    told = result(curves)
    assert seen.loss_at_start == pytest.approx(told.loss_at_start)
    assert seen.loss == pytest.approx(told.loss)
    best = seen.best("accuracy")
    assert best is not None and told.best is not None
    assert best.step == told.best.step == 4000  # of two with the same accuracy the one with the lower loss
    assert seen.reached(best.step) == pytest.approx(told.best.seconds)
    assert told.best.seconds == pytest.approx(sum(step.seconds for step in list(run.journal())[:4000]))


def test_the_table_of_a_run_without_a_cockpit_agrees(run: RunDir) -> None:
    taken = [item for item in live(run, 0) if isinstance(item, Eval)]
    done = Done(outcome="finished", steps=STEPS, seconds=1.0, metrics={}, run=str(run.path))
    accuracy = next(line for line in result_table(taken, done, "") if line.startswith("accuracy"))
    assert accuracy.split() == ["accuracy", "0.600", "0.600", "0.700", "at", "step", "4,000"]
