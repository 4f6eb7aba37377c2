"""`python -m tests.benchmarks.to_accuracy SETTING`: time to accuracy of every method, with the search of its rate.

Prints Markdown for engine/BENCHMARKS.md, and draws a chart beside the runs. The search, which is the same for all, on
two seeds that are not measured: on the first, rates four times apart, five (of smollm2 three) around a method's first
one, beyond an end of the ladder as long as the best is there, three more at most, then twice and half the best; and the
best three of these on the second as well. Of plain LoZO, the rate with the least validation loss after the steps of the
mark; of the others, the one that reaches this loss in the fewest tokens, else that which comes nearest; none takes more
tokens than plain LoZO did, here and later. Then the mark is set anew by plain LoZO, on the conventional loop, with its
best rate, as the mean over the seeds that are measured.

All of it is runs below --to, which are not taken again: it may be killed at any time, and goes on with what is missing.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.environment import prepare
from engine.errors import EXIT_INTERRUPTED, UserError
from engine.runs.directory import RunDir
from zotui.headless.accuracy_table import markdown
from zotui.headless.contenders import Contender, Course
from zotui.headless.time_to_mark import Outcome, Result
from zotui.headless.to_accuracy import Bench, Interrupted, MarkRuns, Wanted
from zotui.headless.until_mark import read
from zotui.headless.watch import SignalRelay
from zotui.runs import mark_charts
from zotui.runs.marks import Budget, Mark, cost_until

SEARCHED = (1000, 1001)
"""The seeds of the search: on one alone, the rate that is lucky wins."""

_MORE = 3  # rates beyond an end of the ladder
_AGAIN = 3  # rates that are tried with the second seed as well
_NO_END = 100_000  # steps

METHODS = {
    "lozo": 1e-4,
    "fast run.eval_every=10": 1.5e-3,
    "grzo run.eval_every=50": 3e-3,
    "fzoo run.eval_every=12": 1e-3,
    "zo-muon run.eval_every=20": 1e-2,
    "lozo-m run.eval_every=50": 1e-4,
    "subzero run.eval_every=50": 1e-3,
    "mezo run.eval_every=50": 2e-4,
    "mezo-factorized run.eval_every=50": 2e-4,
    "mezo-lora run.eval_every=50": 1e-2,
    "mobizo run.eval_every=50": 1e-2,
    "conmezo run.eval_every=50": 2e-4,
    "kerzoo run.eval_every=50": 1e-4,
    "lozo method.sampling=stratified run.eval_every=50": 2e-4,
}
"""What is measured, and the rate in the middle of its ladder. An evaluation takes as long as 25 steps of LoZO: but for
lozo and fast, which have one in some 22,000 tokens, there is one in 44,000."""


@dataclass(frozen=True)
class Setting:
    """A model on SST-2.

    Evaluations are `every` so many steps, of so many `examples`. Rates are searched at `around` times a method's first.
    `looped`: the mark is set on the conventional loop; else in slots, whose losses are the loop's to 1e-5, and what the
    loop takes for a step is timed apart, by `zotui bench`: for a model on which it takes some hours.
    """

    model: str
    dtype: str
    every: int
    marks: tuple[int, ...]
    seeds: tuple[int, ...]
    methods: dict[str, float]
    examples: int | None = None
    around: tuple[float, ...] = (1 / 16, 1 / 4, 1.0, 4.0, 16.0)
    looped: bool = True
    plain: float = METHODS["lozo"]


SETTINGS = {
    "opt-reviews": Setting("models/opt-reviews", "float32", 25, (450, 2000), (0, 1, 2, 3, 4), METHODS),
    "smollm2": Setting(
        "models/make-smollm2", "bfloat16", 10, (100,), (0, 1, 2), {"lozo": 6e-5, "fast run.eval_every=4": 6e-4},
        examples=256, around=(1 / 4, 1.0, 4.0), looped=False,
    ),
}  # fmt: skip


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.to_accuracy")
    parser.add_argument("setting", choices=list(SETTINGS))
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--to", type=Path, required=True, help="where runs, tables and charts are kept")
    parser.add_argument("--mark", type=int, action="append", help="steps of the conventional loop")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--method", action="append", help=f"as `zotui bench` takes it, of {', '.join(METHODS)}")
    parser.add_argument("--in-slots", action="store_true", help="set the mark without the loop, as for smollm2")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"])
    arguments = parser.parse_args()
    prepare()
    chosen = SETTINGS[arguments.setting]
    marks, seeds = arguments.mark or chosen.marks, tuple(arguments.seeds or chosen.seeds)
    setting = replace(chosen, dtype=arguments.dtype or chosen.dtype)
    preset = _preset(setting, arguments.shared, arguments.to / f"{arguments.setting}-{setting.dtype}.toml")
    known = METHODS | chosen.methods
    if unknown := [name for name in arguments.method or () if name not in known]:
        parser.error(f"--method {unknown[0]!r}: not one of {', '.join(known)}")
    wanted = {name: known[name] for name in arguments.method or chosen.methods}
    looped = setting.looped and not arguments.in_slots
    setting = replace(setting, methods=wanted, plain=chosen.methods["lozo"], looped=looped)
    try:
        with SignalRelay() as relay:
            for steps in marks:
                title = f"{arguments.setting}-{setting.dtype}-{steps}"
                _measure(title, Course(str(preset), folder=arguments.to / "runs"), setting, steps, seeds, relay)
    except UserError as error:
        print(f"zotui: {error}", file=sys.stderr)
        return 2
    except Interrupted as ended:
        return ended.code if ended.code else EXIT_INTERRUPTED
    return 0


def _measure(
    title: str, course: Course, setting: Setting, steps: int, seeds: Sequence[int], relay: SignalRelay
) -> None:
    """One mark: the search, the runs, the report."""
    course = replace(course, most_steps=steps)
    nothing = Mark(0.0)  # which none reaches: all steps are taken
    rates = _around(setting.plain, setting)
    plain, tried = _best("lozo", rates, course, nothing, Budget(), _by_last_loss, relay)
    told = [f"plain LoZO: {_told(plain, tried)}"]
    reached = statistics.fmean(_by_last_loss(one)[0] for one in tried[plain])
    curves = read(RunDir(Path(tried[plain][0].run)))
    budget = Budget(tokens=cost_until(curves, curves.evaluations[-1]).tokens)
    freely = replace(course, most_steps=_NO_END)  # of those that score less in a step
    contenders = []
    for name, middle in setting.methods.items():
        rate = plain
        if name != "lozo":
            rate, tried = _best(name, _around(middle, setting), freely, Mark(reached), budget, _by_tokens, relay)
            told.append(f"{name}: {_told(rate, tried)}")
        contenders.append(_at(name, rate))
    by = Contender("lozo", (f"method.lr={plain:g}", *(["model.runtime=training-loop"] if setting.looped else [])))
    bench = Bench(Wanted(freely, contenders, seeds, MarkRuns(by, steps), budget), quiet=False)
    result = bench.take(relay, lambda outcome: None)
    _report(title, result, told, course.folder.parent if course.folder else Path())


def _around(middle: float, setting: Setting) -> list[float]:
    return [middle * factor for factor in setting.around]


Tried = dict[float, list[Outcome]]
"""By rate, what became of each seed."""
Order = Callable[[Outcome], tuple[float, float]]


def _best(
    name: str, rates: Sequence[float], course: Course, mark: Mark, budget: Budget, order: Order, relay: SignalRelay
) -> tuple[float, Tried]:
    """The best of a ladder of rates, and what became of each."""
    tried: Tried = {}

    def take(rates: Sequence[float], seeds: Sequence[int]) -> None:
        for rate in rates:
            wanted = Wanted(course, [_at(name, rate)], seeds, mark, budget)
            tried[rate] = Bench(wanted, quiet=False).take(relay, lambda outcome: None).runs

    def in_order() -> list[float]:
        return sorted(tried, key=lambda rate: tuple(map(statistics.fmean, zip(*map(order, tried[rate]), strict=True))))

    def best_with(rates: Sequence[float]) -> float:
        rounded = [float(f"{rate:.2g}") for rate in rates]
        take([rate for rate in rounded if rate not in tried], SEARCHED[:1])
        return in_order()[0]

    best = best_with(rates)
    for _ in range(_MORE):
        if best not in (min(tried), max(tried)):
            break
        best = best_with([best * 4 if best == max(tried) else best / 4])
    best_with([best / 2, best * 2])
    again = in_order()[:_AGAIN]
    take(again, SEARCHED)
    return next(rate for rate in in_order() if rate in again), tried


def _by_last_loss(one: Outcome) -> tuple[float, float]:
    taken = read(RunDir(Path(one.run))).evaluations if one.standing == "end" else []
    return (taken[-1].metrics["loss"] if taken else math.inf), 0.0


def _by_tokens(one: Outcome) -> tuple[float, float]:
    return (one.cost.tokens if one.cost else math.inf), one.best_loss or math.inf


def _at(name: str, rate: float) -> Contender:
    return Contender.parse(f"{name} method.lr={rate:g}")


def _told(best: float, tried: Tried) -> str:
    """What the search of one method came to."""
    parts = [f"{rate:g} ({' and '.join(map(_came_of, runs))})" for rate, runs in sorted(tried.items())]
    return f"lr {best:g}, of {', '.join(parts)}"


def _came_of(one: Outcome) -> str:
    came = "failed" if one.best_loss is None else f"{one.best_loss:.4f} at best"
    came = f"{one.cost.tokens:,} tokens" if one.cost else came
    return f"{came}{', diverged' if one.standing == 'diverged' else ''}"


def _report(title: str, result: Result, told: Sequence[str], folder: Path) -> None:
    lines = [
        f"### {title}",
        "",
        *markdown(result),
        "",
        f"Rates, searched on the seeds {SEARCHED[0]} and {SEARCHED[1]}:",
        "",
    ]
    lines += [f"- {line}" for line in told]
    (folder / f"{title}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines), flush=True)
    curves = {name: [read(RunDir(Path(run))) for run in result.runs_of(name)] for name in result.methods()}
    mark_charts.write(curves, result.mark, folder / f"{title}.png")


def _preset(setting: Setting, shared: Path, file: Path) -> Path:
    """The preset of a setting; a model that is to be made first is made by its script."""
    model = (shared / setting.model).absolute()
    if model.is_file():
        with_python = {**os.environ, "PYTHON": sys.executable}
        made = subprocess.run([str(model)], check=True, capture_output=True, text=True, env=with_python)
        model = Path(made.stdout.strip())
    data = (shared / "data/sst2").absolute()
    examples = "" if setting.examples is None else f"validation_examples = {setting.examples}\n"
    text = f"""[model]
path = "{model}"
dtype = "{setting.dtype}"
[task]
name = "sst2"
train = "{data}/train.jsonl"
validation = "{data}/validation.jsonl"
{examples}[run]
batch_size = 16
eval_every = {setting.every}
checkpoint_best = false
"""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


if __name__ == "__main__":
    sys.exit(main())
