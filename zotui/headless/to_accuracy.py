"""`zotui bench --to-accuracy`: methods by seeds, each run until the mark, and what that took.

Runs are ordinary ones, one after the other, seed by seed. A run that is there already is not run again, and one that
was interrupted goes on: the same command takes what is missing.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from engine.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, UserError
from engine.preset.schema import Preset
from engine.runs.directory import RunDir
from zotui.headless.accuracy_table import lines
from zotui.headless.contenders import Contender, Course
from zotui.headless.time_to_mark import Outcome, Result, summed_up
from zotui.headless.until_mark import read, take
from zotui.headless.watch import SignalRelay
from zotui.runs import export_charts, mark_charts
from zotui.runs.marks import Budget, Mark, cost_until, reached, standing
from zotui.text import numbers
from zotui.text.output import print_out, talk
from zotui.text.run_names import reference


@dataclass(frozen=True)
class MarkRuns:
    """The mark as what a contender reaches after so many steps: the mean over the seeds."""

    by: Contender
    steps: int


@dataclass(frozen=True)
class Wanted:
    """What is to be measured."""

    course: Course
    contenders: Sequence[Contender]
    seeds: Sequence[int]
    mark: Mark | MarkRuns
    budget: Budget
    chart: Path | None = None


def _course_of(mark: MarkRuns, course: Course) -> Course:
    """What the runs of a mark take: all of the steps, and the evaluation at their end, the only one that is asked for.

    A ratchet looks at those on the way, and keeps them.
    """
    steps = (*course.changes, f"run.steps={mark.steps}", "run.patience=0")
    every = () if course.wanted(mark.by, 0).method.ratchet else (f"run.eval_every={mark.steps}",)
    return Course(course.preset, (*steps, *every), None, course.folder)


Place = tuple[Contender, int]


class Interrupted(Exception):
    """A signal came, or a run ended in a way that ends the others too.

    Attributes: code, with which to exit.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def run_to_accuracy(wanted: Wanted, *, json: bool) -> int:
    """Take all runs, then report; returns the exit code, that of the first run which failed, if one did.

    Raises `UserError` before anything is started.
    """
    bench = Bench(wanted, quiet=json)
    try:
        with SignalRelay() as relay:
            result = bench.take(relay, lambda one: print_out(_as_json(one, "run")) if json else None)
    except Interrupted as ended:
        if ended.code == EXIT_INTERRUPTED:
            talk("zotui: interrupted; the same command goes on where it was")
        return ended.code
    print_out(_as_json(result, "summary") if json else "\n".join(lines(result)))
    if wanted.chart is not None:
        curves = {method: [read(RunDir(Path(path))) for path in result.runs_of(method)] for method in result.methods()}
        mark_charts.write(curves, result.mark, wanted.chart)
    return bench.code


def _as_json(what: object, kind: Literal["run", "summary"]) -> str:
    return msgspec.json.encode({"type": kind, **msgspec.to_builtins(what)}).decode()


class Bench:
    """Takes the runs. Attributes: code, that of the first run which failed, else `EXIT_DONE`."""

    def __init__(self, wanted: Wanted, *, quiet: bool) -> None:
        """Raises `UserError` for whatever can be refused before anything is started."""
        self._wanted, self._quiet, self.code = wanted, quiet, EXIT_DONE
        self._runs: dict[Place, tuple[Preset, RunDir]] = {}
        self._marks: dict[Place, tuple[Preset, RunDir]] = {}
        if isinstance(wanted.mark, MarkRuns):
            course, by = _course_of(wanted.mark, wanted.course), wanted.mark.by
            self._marks = {(by, seed): course.run_of(by, seed) for seed in wanted.seeds}
        for seed in wanted.seeds:
            for contender in wanted.contenders:
                self._runs[contender, seed] = wanted.course.run_of(contender, seed)
        self._refuse()

    def _refuse(self) -> None:
        labels = [contender.label for contender in self._wanted.contenders]
        if twice := next((label for label in labels if labels.count(label) > 1), None):
            raise UserError(f"--method {twice!r} is given twice")
        for (contender, _), (preset, _) in self._runs.items():
            every = preset.run.eval_every
            if every is None or every >= preset.run.steps:
                raise UserError(
                    f"{contender.label}: the mark is looked for at evaluations, and there is none on the way; "
                    f"set --set run.eval_every=N, less than run.steps ({preset.run.steps:,})"
                )
        for _, run in (*self._marks.values(), *self._runs.values()):
            if run.info.there() and run.is_live():
                raise UserError(f"{run.path}: is live; `zotui stop {reference(run)}` first")
            if not run.info.there():
                run.refuse_used_folder()
        if chart := self._wanted.chart:
            if chart.suffix not in (".png", ".svg"):
                raise UserError(f"--chart {chart}: a chart is a file that ends in .png or .svg")
            if chart.exists():
                raise UserError(f"--chart {chart}: is there already; choose another file")
            if why := export_charts.missing():
                raise UserError(f"--chart: {why}")

    def take(self, relay: SignalRelay, on_outcome: Callable[[Outcome], None]) -> Result:
        """All of them, as far as they are not there already. Raises `UserError` and `Interrupted`."""
        outcomes: list[Outcome] = []
        mark, steps = self._wanted.mark, None
        if isinstance(mark, MarkRuns):
            steps = mark.steps
            for place, (preset, run) in self._marks.items():
                self._take_one(place, preset, run, None, relay)
                outcomes.append(self._outcome(place, run, None))
                on_outcome(outcomes[-1])
            if missing := [one for one in outcomes if one.cost is None]:
                raise UserError(f"there is no mark: {missing[0].run} did not take all of its steps")
            costs = [one.cost for one in outcomes if one.cost is not None]
            accuracies = [cost.accuracy for cost in costs if cost.accuracy is not None]
            found = Mark(statistics.fmean(cost.loss for cost in costs))
            beside = statistics.fmean(accuracies) if len(accuracies) == len(costs) else None
        else:
            found, beside = mark, mark.accuracy
        for place, (preset, run) in self._runs.items():
            self._take_one(place, preset, run, found, relay)
            outcomes.append(self._outcome(place, run, found))
            on_outcome(outcomes[-1])
        by = self._wanted.mark.by.label if isinstance(self._wanted.mark, MarkRuns) else None
        return summed_up(outcomes, found, beside, by, steps)

    def _take_one(self, place: Place, preset: Preset, run: RunDir, mark: Mark | None, relay: SignalRelay) -> None:
        contender, seed = place
        if relay.received:
            raise Interrupted(EXIT_INTERRUPTED)
        if run.info.there() and standing(read(run), mark, self._wanted.budget) != "unfinished":
            return
        if not self._quiet:
            talk(f"{contender.label}, seed {seed}: {run.name}")
        budget, name = self._wanted.budget, self._wanted.course.preset
        code = take(preset, name, run, mark, budget, relay, quiet=self._quiet)
        if relay.received:
            raise Interrupted(EXIT_INTERRUPTED)
        if code not in (EXIT_DONE, EXIT_FAILED):
            raise Interrupted(code)
        self.code = self.code or code

    def _outcome(self, place: Place, run: RunDir, mark: Mark | None) -> Outcome:
        contender, seed = place
        if not run.info.there():  # it failed before its first step
            return Outcome(contender.label, seed, str(run.path), "failed", None)
        curves = read(run)
        how = standing(curves, mark, self._wanted.budget)
        at = reached(curves, mark) if mark is not None else curves.evaluations[-1] if how == "end" else None
        if at is not None and mark is not None and at.step == 0:
            given = numbers.loss(at.metrics["loss"])
            raise UserError(f"the model is at the mark before it is trained (validation loss {given}); set a lower one")
        best = min((one.metrics["loss"] for one in curves.evaluations if "loss" in one.metrics), default=None)
        cost = cost_until(curves, at) if at is not None else None
        return Outcome(contender.label, seed, str(run.path), how, cost, best, run.info.read().error)
