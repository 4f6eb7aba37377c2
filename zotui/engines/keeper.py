"""Keeps one spare engine at hand while the app is open, where there is room for it."""

from __future__ import annotations

import os
from collections.abc import Callable

import psutil

from engine.runs.directory import RunDir
from zotui.engines.launched import EngineProcess, start_engine
from zotui.engines.spare import Spare

# A spare engine takes about 0.6 GiB. Until it has a run, a preflight finds that much less memory free: it must not
# matter for what fits.
_TO_BEGIN = 6 * 2**30  # bytes that are available before one is made
_TO_STAY = 2 * 2**30  # bytes; with less it makes way for others

_MOST_LOST = 3  # that ended by themselves, after which no other is made: something here kills them


class SpareKeeper:
    """Starts engines, on the spare one if there is one."""

    def __init__(self, available: Callable[[], int] = lambda: psutil.virtual_memory().available) -> None:
        """`available` tells the bytes of memory that a process could take now."""
        self._available = available
        self._spare: Spare | None = None
        self._lost = 0
        self._launched: EngineProcess | None = None  # and has not begun to train yet, as far as is known

    @property
    def spare(self) -> Spare | None:
        """The one that is at hand."""
        return self._spare

    def keep(self, *, beside_a_run: bool) -> None:
        """Make a spare engine, or end the one there is, as there is room; to be called every few seconds.

        `beside_a_run`: whether the app watches a run at work.
        """
        if self._spare is not None and not self._spare.usable():
            self._lost += 1
            self._drop()
        available = self._available()
        if self._spare is not None:
            if available < _TO_STAY:
                self._drop()
        elif (
            self._lost < _MOST_LOST
            and available >= _TO_BEGIN
            and not self._starting()
            and (not beside_a_run or _core_free())
        ):
            try:
                self._spare = Spare()
            except OSError:  # no process, or no descriptor, is left for what can be done without
                self._lost += 1

    def start(self, run: RunDir, *, resume: bool = False) -> EngineProcess:
        """As `start_engine` does."""
        spare, self._spare = self._spare, None
        self._launched = start_engine(run, resume=resume, spare=spare)
        return self._launched

    def close(self) -> None:
        """No more engines will be started."""
        self._drop()

    def _drop(self) -> None:
        if self._spare is not None:
            self._spare.end()
            self._spare = None

    def _starting(self) -> bool:
        """Whether an engine is in its start-up, which another that loads libraries would slow down."""
        engine = self._launched
        if engine is not None and (not engine.alive() or engine.run.info.read().pid == engine.pid):
            self._launched = None
        return self._launched is not None


def _core_free() -> bool:
    """Whether a core has nothing to do."""
    return os.getloadavg()[0] <= len(os.sched_getaffinity(0)) - 1
