"""The way of a tuning: noise, probes, first guesses, trials, a proposal."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence

from engine.errors import NotFinite, RunFailed
from engine.models.weights import Matrix
from engine.preflight.open import Opened
from engine.preset.schema import Preset
from engine.protocol.events import Event, Log
from engine.protocol.findings import Guess, Proposal, Scale
from engine.runtimes.base import Report
from engine.tasks.batches import Batches
from engine.tasks.example import Example
from engine.training.noise import measure_noise
from engine.tune import scales
from engine.tune.probes import Looked, Prober
from engine.tune.rates import first_rate
from engine.tune.search import Search, Setting, best_of, rounded, told_of
from engine.tune.trials import Base, Course, Trial, not_as_in_a_run

_BATCHES = 4  # on which the same directions are looked along
_LEAST_SETS, _MOST_SETS, _ENOUGH = 4, 16, 32  # sets of directions, and how many directions are enough
_APART = 3.9  # times: eps that are worth a trial of their own


def default_steps(run_steps: int) -> int:
    """Of the longest trial: a tenth of the run, within bounds; in fewer steps chance speaks louder than the rate."""
    return max(200, min(400, run_steps // 10))


def find(
    wanted: Preset,
    opened: Opened,
    base: Base,
    say: Callable[[Event], None],
    report: Report,
    *,
    steps: int | None,
    most: int,
    began: float,
) -> None:
    """Say what is found, a `Proposal` at the end.

    steps: of the longest trials; most: examples of the validation split. Raises `NotFinite` if the model's own loss is
    not finite, and `RunFailed` if no trial learned anything.
    """
    task, method = opened.task, wanted.method
    examples = task.validation
    if len(examples) > most:
        examples = random.Random("tune/validation").sample(examples, most)
    course = Course(opened.runtime, task, wanted, base, examples)
    untrained = Trial(0, method)
    untrained.metrics, untrained.losses = course.evaluate()
    before = untrained.validation
    if text := not_as_in_a_run(method):
        say(Log(level="warning", text=text))
    guess, further = _guess(wanted, opened, base, report, say)
    say(guess)
    longest = min(wanted.run.steps, steps or default_steps(wanted.run.steps))
    directions = method.directions(wanted.run.batch_size)

    def told(trial: Trial, done: int) -> None:
        report("trial", None, f"{trial.number}, lr {trial.method.lr:g}: step {done}")

    search = Search(course, method, directions, untrained, longest, say, told)
    ended = search.run(Setting(method.lr, method.eps), guess.lr, [guess.eps, *further])
    base.restore()
    best = best_of(ended, before, longest / wanted.run.steps)
    if not best.validation < before:
        raise RunFailed(
            f"none of the {len(search.trials)} trials came below the model's own validation loss ({before:.4f}) within "
            f"{longest} steps; try --steps with more"
        )
    say(told_of(best, "chosen"))
    say(
        Proposal(
            lr=best.method.lr, eps=best.method.eps, before=before, validation=best.validation, steps=len(best.steps),
            trials=len(search.trials), seconds=time.monotonic() - began,
        )
    )  # fmt: skip


def _guess(
    wanted: Preset, opened: Opened, base: Base, report: Report, say: Callable[[Event], None]
) -> tuple[Guess, list[float]]:
    """First values of rate and eps; and further eps to try."""
    method, task = wanted.method, opened.task
    prober = Prober(opened.runtime, method, task.objective, wanted.run.batch_size)
    batches = list(map(Batches.of(task.train, wanted).at, range(_BATCHES)))
    report("measuring the noise", None, "scoring one batch in several orders")
    noise = measure_noise(opened.runtime, task.objective, batches[0], dtype=opened.dtype, queries=1)
    if noise is None:
        raise NotFinite("the loss of the model as it is, is not a finite number; try model.dtype=float32")
    parts = method.parts(wanted.run.batch_size)
    per_direction = noise.nats * parts**0.5  # the mean over a part of a batch is that much noisier
    sets = max(_LEAST_SETS, min(_MOST_SETS, -(-_ENOUGH // prober.directions)))

    report("probing", 0.0, "how far the loss is linear")
    found = _scales(scales.OWN, wanted, prober, base, batches[0], per_direction)
    if not scales.is_good(found):
        found = _scales(scales.LADDER, wanted, prober, base, batches[0], per_direction)
    for one in found:
        say(Scale(eps=one.eps, difference=one.difference, noise=per_direction, error=one.error))
    chosen = scales.choose(found, method.eps)
    eps = chosen.eps if chosen else method.eps
    bend = scales.for_curvature(found)

    gradients, curvatures = [], []
    for number in range(sets):
        report("probing", (1 + number) / (1 + sets), "slope and curvature")
        base.restore()
        step = prober.begin(number)
        looked = [prober.look(step, eps, examples) for examples in batches]
        gradients.append([one.two_sided() if method.sides == "two" else one.one_sided() for one in looked])
        if bend is not None and bend.eps != eps:
            looked = [prober.look(step, bend.eps, examples) for examples in batches[:2]]
        curvatures.append([curvature for one in looked for curvature in one.curvatures()])
    rows = _rows(opened.runtime.matrices(), method.rank if method.direction == "core" else None)
    noise_of_gradient = per_direction / ((2 if method.sides == "two" else 1) * eps)
    rate = first_rate(method, gradients, curvatures, rows, noise_of_gradient)
    if rate.lr is None:
        say(Log(level="warning", text=f"probes suggest no rate: rates are tried around the preset's {method.lr:g}"))
    guess = Guess(
        lr=rounded(rate.lr) if rate.lr else None, eps=eps, noise=per_direction, gradient=rate.gradient,
        slope=rate.slope, slope_error=rate.slope_error, curvature=rate.curvature, curvature_error=rate.curvature_error,
    )  # fmt: skip
    others = sorted(found, key=lambda one: one.error) if eps != method.eps else []  # what is good stays as it is
    further = [one.eps for one in others if max(one.eps / eps, eps / one.eps) > _APART][:1]
    return guess, further


def _scales(
    factors: Sequence[float], wanted: Preset, prober: Prober, base: Base, examples: Sequence[Example], noise: float
) -> list[scales.Scale]:
    """Of the preset's eps times each factor but the first, along the same directions."""
    rungs: list[list[Looked]] = [[] for _ in factors]
    for number in range(_LEAST_SETS):
        base.restore()
        step = prober.begin(number)
        for rung, factor in zip(rungs, factors, strict=True):
            rung.append(prober.look(step, wanted.method.eps * factor, examples))
    return scales.scales(rungs, noise, wanted.method.sides)


def _rows(matrices: list[Matrix], core: int | None) -> float:
    return core or statistics.fmean(matrix.rows for matrix in matrices)
