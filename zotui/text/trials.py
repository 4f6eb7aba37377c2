"""What a tuning finds, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.protocol.findings import Finding, Guess, Proposal, Scale, Trial
from zotui.text import numbers

_WORDS = {"evaluated": "", "behind": "behind", "diverged": "diverged", "chosen": "<- proposed"}


def spoken(found: Finding) -> str:
    """A line as it comes; empty for what is not worth one."""
    if isinstance(found, Scale):
        return (
            f"eps {found.eps:g}: the losses differ by {numbers.significant(found.difference)} nats, noise "
            f"{numbers.significant(found.noise)}; a gradient is wrong by {numbers.share(found.error)}"
        )
    if isinstance(found, Guess):
        return f"a first guess: lr {_figure(found.lr)}, eps {found.eps:g}; {_why(found)}"
    if isinstance(found, Trial):
        figures = "" if found.validation is None else f": {_metrics(found)}"
        word = found.why or _WORDS[found.standing]
        said = f"trial {found.number}, lr {found.lr:g}, eps {found.eps:g}, step {found.steps}{figures}"
        return f"{said}, {word}" if word else said
    return ""


def table(trials: Iterable[Trial]) -> list[tuple[str, ...]]:
    """What became of every trial: a row each, by rate and eps."""
    last = {trial.number: trial for trial in trials}
    rows: list[tuple[str, ...]] = [
        ("lr", "eps", "steps", "training", "validation", "accuracy", "tokens", "seconds", "")
    ]
    for trial in sorted(last.values(), key=lambda trial: (trial.eps, trial.lr)):
        rows.append(
            (
                f"{trial.lr:g}",
                f"{trial.eps:g}",
                numbers.count(trial.steps),
                _loss(trial.loss),
                _loss(trial.validation),
                numbers.NOTHING if trial.accuracy is None else numbers.accuracy(trial.accuracy),
                numbers.short_count(trial.tokens),
                f"{trial.seconds:.1f}",
                _WORDS[trial.standing],
            )
        )
    return rows


def proposed(proposal: Proposal) -> str:
    """What is proposed, in a line."""
    return (
        f"lr {proposal.lr:g}, eps {proposal.eps:g}: validation loss {numbers.loss(proposal.before)} to "
        f"{numbers.loss(proposal.validation)} in {numbers.count(proposal.steps)} steps "
        f"({proposal.trials} trials, {numbers.span(proposal.seconds)})"
    )


def settings(proposal: Proposal) -> Sequence[str]:
    """The proposal as `KEY=VALUE`."""
    return f"method.lr={proposal.lr:g}", f"method.eps={proposal.eps:g}"


def _why(found: Guess) -> str:
    return (
        f"slope {_pair(found.slope, found.slope_error)}, curvature {_pair(found.curvature, found.curvature_error)}, "
        f"gradient {_figure(found.gradient)}"
    )


def _pair(value: float | None, error: float | None) -> str:
    return f"{_figure(value)} ± {_figure(error)}"


def _figure(value: float | None) -> str:
    return "unknown" if value is None else numbers.significant(value)


def _loss(value: float | None) -> str:
    return numbers.NOTHING if value is None else numbers.loss(value)


def _metrics(trial: Trial) -> str:
    found = {"loss": trial.validation, "accuracy": trial.accuracy}
    return numbers.figures({name: value for name, value in found.items() if value is not None})
