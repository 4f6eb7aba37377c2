"""Trackio: a database on this machine, unless the user's TRACKIO_SPACE_ID or TRACKIO_SERVER_URL names another place."""

from __future__ import annotations

import os
from typing import Any

from engine.runs.directory import RunDir

_PROJECT = "zotui"
_ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


class Trackio:
    """A Trackio run called like ours, which a resumed run goes on with."""

    def open(self, run: RunDir, config: dict[str, Any], first_step: int) -> str:
        import trackio

        project = os.environ.get("TRACKIO_PROJECT", _PROJECT)
        self._run = trackio.init(
            project,
            name=run.name,
            config=config,
            resume="allow" if first_step else "never",
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )
        place = next((os.environ[name] for name in _ELSEWHERE if os.environ.get(name)), "on this machine")
        return f"project {project}, run {run.name}, {place}; `trackio show --project {project}` shows it"

    def log(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def finish(self) -> None:
        self._run.finish()
