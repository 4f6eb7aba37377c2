"""What may change while a run is at work, each from a certain step on, on record before it counts.

The record, `changes.jsonl` in the run's directory, is written like the journal. A resumed run takes every
change at its step again, also one of which the steps after it were lost.

A return of the ratchet halves the rate that is in force then, and a change sets it anew: what counts at a step is the
rate of the newest change up to it, or that which the run began with, halved for every return since. A rate that is
given is what the next step is taken with, also where that step is about to return: only later returns halve it. A
change of something else leaves the rate as it is in force, so that it is the halved one that goes on record, and a
return that is due halves it once more; so does one after a rate whose record does not tell that it was given. A fork
begins with the rate that is in force where it begins.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import structs

from engine.preset.schema import Preset
from engine.protocol.commands import Change
from engine.protocol.events import Changed
from engine.runs.directory import RunDir
from engine.runs.journal import append


class Changes:
    """What is in force at every step of a run. Raises `UserError` if the record is damaged."""

    def __init__(self, run: RunDir, wanted: Preset) -> None:
        origin = run.info.read().forked_from
        self._run, self._first = run, began_with(wanted, origin.step if origin else 0)
        self._made: list[Changed] = []
        for changed in run.changes():
            self._take(changed)

    def at(self, step: int, returns: Collection[int] = ()) -> Changed:
        """What is in force at a step: the newest change up to it, or what the run began with.

        `returns`: the steps before which the run returned to an earlier state, which halves the rate.
        """
        newest = next((changed for changed in reversed(self._made) if changed.step <= step), self._first)
        since = sum(newest.step + newest.lr_set <= one <= step for one in returns)
        return structs.replace(newest, lr=newest.lr * 0.5**since) if since else newest

    def change(self, step: int, change: Change, returns: Collection[int] = ()) -> Changed:
        """Put a change on record, from `step` on; returns what is in force then. Raises `OSError`: it is not then."""
        wanted = {name: value for name, value in structs.asdict(change).items() if value is not None}
        before = self.at(step, returns)
        lr_set = change.lr is not None or (before.lr_set and before.step == step)
        changed = structs.replace(before, step=step, lr_set=lr_set, **wanted)
        append(self._run.changes_file, changed)
        self._take(changed)
        return changed

    def _take(self, changed: Changed) -> None:
        """A change replaces those at its step and after: of steps that were lost, and are taken again otherwise."""
        self._made = [known for known in self._made if known.step < changed.step]
        self._made.append(changed)


def began_with(wanted: Preset, step: int = 0) -> Changed:
    """What is in force before any change; `step` is where the run itself began, of a fork."""
    method = wanted.method
    return Changed(step=step, lr=method.lr, eps=method.eps, eval_every=wanted.run.eval_every or 0)


def changed_preset(wanted: Preset, changed: Changed) -> Preset:
    """`wanted` with what is in force in it."""
    method = wanted.method.model_copy(update={"lr": changed.lr, "eps": changed.eps})
    run = wanted.run.model_copy(update={"eval_every": changed.eval_every or None})
    return wanted.model_copy(update={"method": method, "run": run})
