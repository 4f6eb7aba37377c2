"""A new run that begins where another one was after a certain step, and goes on with other settings.

It takes over the journal up to there, so that it holds all that is needed to rebuild its weights, and the
newest checkpoint that makes this quick. What the steps before depend on cannot be changed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from engine.errors import UserError
from engine.preset.load import keys, load
from engine.preset.schema import Preset
from engine.runs.best import best_evaluation, least_loss
from engine.runs.changes import Changes, changed_preset
from engine.runs.checkpoints import manifest_of
from engine.runs.directory import RunDir, step_of
from engine.runs.info import Info, Origin
from engine.runs.journal import encode_line
from engine.runs.lineage import Lineage, returns_of

CHANGEABLE = (
    "description",
    "method.lr",
    "method.eps",
    "method.schedule",
    "method.warm_up",
    "method.queries",
    "method.shards",
    "method.sampling",
    "method.weights",
    "method.clip",
    "method.ratchet",
    "model.cuda_graphs",
    "model.memory_limit_gib",
    "run.steps",
    "run.batch_size",
    "run.eval_every",
    "run.patience",
    "run.checkpoint_every",
    "run.keep_checkpoints",
    "run.checkpoint_best",
    "run.when_app_leaves",
)
"""The keys that steps which were taken do not depend on: what they need of them is in the journal."""


@dataclass(frozen=True)
class Plan:
    """A fork that can be made: after how many steps, and with which preset."""

    step: int
    preset: Preset


def place(run: RunDir, step: int | None = None) -> Plan:
    """Where a fork of `run` begins: after `step` steps, its newest checkpoint's without, with the settings there.

    Raises `UserError` if the run has not come so far.
    """
    done = run.steps_done()
    if not done:
        raise UserError(f"{run.name}: has taken no step yet; start a new run instead")
    if step is None:
        step = min(_newest(run) or done, done)
    if not 0 < step <= done:
        raise UserError(f"{run.name} can be forked after 1 to {done} steps, not after {step}")
    was = run.preset()
    # Without a ratchet there is no return since the run, or the fork, began: only those halve the rate.
    returns = _way(run, step).returns if was.method.ratchet else ()
    return Plan(step, changed_preset(was, Changes(run, was).at(step, returns)))


def plan(run: RunDir, step: int | None = None, changes: Sequence[str] = ()) -> Plan:
    """What a fork from there with `changes` (`key=value`) would be; makes nothing. Raises `UserError`."""
    there = place(run, step)
    wanted = load(f"the fork of {run.name}", there.preset.to_toml(), changes)
    _check(there.preset, wanted)
    if wanted.run.steps <= there.step:
        raise UserError(
            f"run.steps: the fork begins after {there.step} steps, and is to end after {wanted.run.steps}; give more"
        )
    return Plan(there.step, wanted)


def fork(run: RunDir, step: int | None = None, changes: Sequence[str] = (), path: Path | None = None) -> RunDir:
    """Make the run that `plan` describes, at `path` if given, to be resumed. Raises `UserError`, and leaves nothing.

    On another file system it copies checkpoints, which takes as long as the disk does; any thread may call it.
    """
    planned = plan(run, step, changes)
    step, wanted = planned.step, planned.preset
    run.refuse_damaged()
    was = run.info.read()
    began_as = Info(
        state="stopped",
        runtime=was.runtime,
        device=was.device,
        dtype=was.dtype,
        fold=was.fold,
        experts=was.experts,
        versions=was.versions,
        hardware=was.hardware,
        started_on=was.started_on,
        noise=was.noise,
        formerly=was.formerly,
        forked_from=Origin(run=str(run.path), name=run.name, step=step),
    )
    return RunDir.create(
        wanted,
        was.preset or run.name,
        path,
        label="fork",
        fill=lambda forked: _take_over(run, forked, step, wanted.method.ratchet),
        info=began_as,
    )


def _check(there: Preset, wanted: Preset) -> None:
    """Raise `UserError` if something differs that the steps before depend on."""
    before, after = there.model_dump(), wanted.model_dump()
    for key in list(keys()):
        section, _, name = key.rpartition(".")
        old, new = (found[section][name] if section else found[name] for found in (before, after))
        if old != new and key not in CHANGEABLE:
            raise UserError(
                f"{key}: the steps before the fork depend on it; a fork can change {', '.join(CHANGEABLE[1:])}; "
                "for the rest start a new run, from `zotui export` if it is to go on from here"
            )


def _way(run: RunDir, step: int) -> Lineage:
    """That to the state after `step` steps."""
    return Lineage(returns_of(islice(run.journal(), step)), step)


def _newest(run: RunDir) -> int | None:
    folders = run.checkpoint_folders()
    return step_of(folders[-1]) if folders else None


def _take_over(run: RunDir, forked: RunDir, step: int, ratchet: bool) -> None:
    """Copy the records up to `step`, and of the checkpoints on the way to it the newest and the best.

    With a ratchet, also the one to which it would go back.
    """
    up_to = [evaluation for evaluation in run.evaluations() if evaluation.step <= step]
    with run.journal_file.open("rb") as journal:
        steps = list(islice(journal, step))
    for file, lines in ((forked.journal_file, steps), (forked.evaluations_file, map(encode_line, up_to))):
        with file.open("wb") as copy:
            copy.writelines(lines)
            copy.flush()
            os.fsync(copy.fileno())
    way = _way(run, step)
    there = [folder for folder in run.checkpoint_folders() if step_of(folder) <= step]
    # What is damaged is told when it is to be read.
    usable = [
        folder for folder in there if (one := manifest_of(folder)) is None or way.usable(one.step, one.replay_from)
    ]
    wanted = {step_of(usable[-1])} if usable else set()
    bests = best_evaluation(up_to), least_loss(up_to, step) if ratchet else None
    wanted |= {best.step for best in bests if best is not None}
    for folder in (folder for folder in there if step_of(folder) in wanted):
        copied = forked.checkpoints / folder.name
        copied.mkdir(parents=True)
        for file in folder.iterdir():
            _link(file, copied / file.name)


def _link(source: Path, target: Path) -> None:
    """What lies there is never written to again: one copy on the disk is enough where links are possible."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
