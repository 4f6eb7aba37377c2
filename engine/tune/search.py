"""Which rate: a climb from far below the first guess, then successive halving (Jamieson and Talwalkar, 2016).

Trials of a few steps each double the rate until it is plainly worse twice, or diverges: beyond the first rate that is
too large lies chaos, in which a rate may look good by luck. The better half goes on to twice as many steps, and again;
the rate below the best of the last round goes to the end as well. Of those that got there, the best, or the smallest
rate that has gained nearly as much, where a run is longer than a trial and takes a smaller rate. A trial's merit is the
mean of its validation loss and of its training loss over the last few steps, on the same batches for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.errors import RunFailed
from engine.preset.method import Method
from engine.protocol.findings import Trial as Told
from engine.tune.trials import Course, Trial, held

ROUNDS = 3
_BELOW = 8.0  # times: how far below the guess, which is of a single step and rather large, the climb begins
_MOST = 14  # trials of it
_DOWN = 6  # at most, below where it began
_PATIENCE = 2  # worse ones, one after the other
_SAME = 0.15  # of a logarithm: settings that are one
_SPARED = 0.1  # of the gain of the best, for a smaller rate, where a trial is next to nothing of a run

Standing = Literal["evaluated", "behind", "diverged", "chosen"]
Hears = Callable[[Trial, int], None]
"""Hears a trial, and how many steps it has taken."""


@dataclass(frozen=True)
class Setting:
    """What trials differ in."""

    lr: float
    eps: float

    def like(self, other: Setting) -> bool:
        """Whether it is hardly another one."""
        return all(abs(math.log(a / b)) < _SAME for a, b in ((self.lr, other.lr), (self.eps, other.eps)))


def rounded(value: float) -> float:
    """To two figures: as one would write it."""
    return float(f"{value:.1e}")


class Search:
    """Takes the trials. Attributes: trials, all of them, in the order in which they began."""

    def __init__(
        self,
        course: Course,
        method: Method,
        directions: int,
        base: Trial,
        longest: int,
        say: Callable[[Told], None],
        told: Hears = lambda trial, steps: None,
    ) -> None:
        """directions: of a step; base: what all begin with, as a trial of no step; longest: steps of those to the end.

        `say` hears of every trial as it stops or goes on.
        """
        self._course, self._method, self._directions, self._say, self._told = course, method, directions, say, told
        self._base = base
        self._lengths = [max(1, longest // 2**left) for left in reversed(range(ROUNDS))]
        self.trials: list[Trial] = []

    def run(self, own: Setting, lr: float | None, eps: Sequence[float]) -> list[Trial]:
        """Those that got to the end, the best first.

        own: the preset's; lr: the first guess, the preset's rate where there is none; eps: the one to climb with, and
        others to try with the best rate. Raises `RunFailed` if none got to the end.
        """
        # The guess supposes that directions of a step are as good as independent; where they are not, less is too much.
        below = _BELOW * math.sqrt(self._directions) if lr else _BELOW
        best = self._climb((lr or own.lr) / below, eps[0], self._begun(own))
        for other in eps[1:]:
            self._begun(Setting(best.method.lr, other))
        going = self._halve(self.trials)
        for length in self._lengths[1:]:
            for trial in going:
                self._take(trial, length)
            going = self._halve(going, last=length == self._lengths[-1])
        if not going:
            raise RunFailed(f"all {len(self.trials)} trials diverged; set method.lr and method.eps far lower")
        return self._descend(going)

    def _climb(self, lr: float, eps: float, own: Trial) -> Trial:
        """From `lr` upwards until it is worse, and downwards while the lowest is the best, or worse than untrained.

        Returns the best, which may be `own`.
        """
        ladder: list[Trial] = []
        worse = 0
        best = min(self._base, own, key=lambda trial: trial.merit)
        while len(ladder) < _MOST and worse < _PATIENCE:
            setting = Setting(rounded(lr), eps)
            known = setting.like(Setting(own.method.lr, own.method.eps))
            ladder.append(own if known else self._begun(setting))
            lr *= 2.0
            if ladder[-1].merit < best.merit:
                best, worse = ladder[-1], 0
            elif ladder[-1].worse_than(best):
                worse += _PATIENCE if ladder[-1].diverged else 1
        for _ in range(_DOWN):
            lowest = ladder[0]
            chaos = lowest.worse_than(self._base)
            if not chaos and lowest.merit > min(trial.merit for trial in ladder):
                break
            lr = lowest.method.lr / (16 if lowest.diverged else 4 if chaos else 2)
            ladder.insert(0, self._begun(Setting(rounded(lr), eps)))
        return min([*ladder, own], key=lambda trial: trial.merit)

    def _descend(self, ended: Sequence[Trial]) -> list[Trial]:
        """The next smaller rate goes to the end as well, as long as that is better: few steps favour large rates."""
        going = list(ended)
        while True:
            best = going[0]
            below = [t for t in self.trials if t.method.eps == best.method.eps and t.method.lr < best.method.lr]
            trial = max(below, key=lambda trial: trial.method.lr, default=None)
            if trial is None:
                trial = self._begun(Setting(rounded(best.method.lr / 2), best.method.eps))
            if trial in going or trial.diverged:
                return going
            self._take(trial, self._lengths[-1])
            going = self._halve([*going, trial], last=True)
            if going[0] is best:
                return going

    def _begun(self, setting: Setting) -> Trial:
        """A new trial, after its first round."""
        trial = Trial(len(self.trials) + 1, held(self._method, setting.lr, setting.eps))
        self.trials.append(trial)
        return self._take(trial, self._lengths[0])

    def _take(self, trial: Trial, steps: int) -> Trial:
        self._course.advance(trial, steps, lambda done: self._told(trial, done))
        self._say(told_of(trial, "diverged" if trial.diverged else "evaluated"))
        return trial

    def _halve(self, trials: Sequence[Trial], *, last: bool = False) -> list[Trial]:
        """The better half, the best first; all of them after the last round."""
        sound = sorted((t for t in trials if not t.diverged), key=lambda trial: (trial.merit, trial.method.lr))
        keep = len(sound) if last else max(2, -(-len(trials) // 2))
        for trial in sound[keep:]:
            self._say(told_of(trial, "behind"))
        return sound[:keep]


def best_of(ended: Sequence[Trial], before: float, share: float) -> Trial:
    """Of trials that got to the end, the best first, the one to propose.

    before: their validation loss at first; share: of a run, that they took: all of it asks for no smaller rate.
    """
    enough = before - (1 - _SPARED * (1 - share)) * (before - ended[0].validation)
    near = [trial for trial in ended if trial.validation <= enough]
    return min(near or ended[:1], key=lambda trial: trial.method.lr)


def told_of(trial: Trial, standing: Standing) -> Told:
    """What is said of a trial."""
    return Told(
        number=trial.number, lr=trial.method.lr, eps=trial.method.eps, steps=len(trial.steps), standing=standing,
        loss=trial.loss, validation=trial.metrics.get("loss"), accuracy=trial.metrics.get("accuracy"),
        tokens=trial.tokens, seconds=trial.seconds, why=trial.diverged,
    )  # fmt: skip
