"""Where a run's figures are logged as well, if its preset says so: nothing of the run depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Protocol

from engine.clients.outbox import Outbox
from engine.errors import UserError
from engine.preset.schema import Preset
from engine.runs.directory import RunDir

_PACKAGES = {"tensorboard": "tensorboardX", "trackio": "trackio", "wandb": "wandb"}

PATIENCE = 30.0
"""Seconds that the end of a run waits for a tracker to hand over what it still has."""


class Tracker(Protocol):
    """One place that takes figures. All of it is called from one thread, and may raise whatever it likes."""

    def open(self, run: RunDir, config: dict[str, Any], first_step: int) -> str:
        """Begin, or go on where the run's last engine ended; returns where the figures are to be seen."""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Take figures by name. Steps never descend."""

    def finish(self) -> None:
        """Hand over what is left."""


def follow(run: RunDir, wanted: Preset, outbox: Outbox) -> None:
    """Give the preset's trackers all that is said from now on. Raises `UserError` where a package is missing."""
    from engine.clients.trackers.follower import Follower

    names = list(dict.fromkeys(wanted.run.track))
    refuse_missing(names)
    for name in names:
        following = Follower(name, _tracker(name), run, wanted, outbox.emit)
        outbox.follow(following.take, following.end, PATIENCE)


def refuse_missing(names: Sequence[str]) -> None:
    """Raise `UserError` for a tracker whose package is not installed."""
    for name in names:
        if find_spec(_PACKAGES[name]) is None:
            raise UserError(f"run.track: {name} needs a package that is not installed: pip install 'zotui[{name}]'")


def _tracker(name: str) -> Tracker:
    if name == "tensorboard":
        from engine.clients.trackers.tensorboard import Tensorboard

        return Tensorboard()
    from engine.clients.trackers.projects import Trackio, Wandb

    return Trackio() if name == "trackio" else Wandb()
