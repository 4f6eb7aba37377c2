"""What must be written is written: while the disk does not take it, the run waits, and goes on by itself."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

from engine.clients.inbox import Inbox, Stopped
from engine.errors import RunFailed, UserError
from engine.protocol.events import Event, Log
from engine.training.stopwatch import Stopwatch

_AGAIN = 2.0  # seconds until the next try
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Result = TypeVar("Result")


class DiskWait:
    """Holds the run as it is for as long as something cannot be written. Nothing is lost or done twice."""

    def __init__(self, inbox: Inbox, emit: Callable[[Event], None], watch: Stopwatch) -> None:
        self._inbox, self._emit, self._watch = inbox, emit, watch

    def write(self, what: str, steps_done: int, act: Callable[[], Result]) -> Result:
        """What `act` returns, once it does so without an `OSError`; it must leave nothing half done.

        Raises `RunFailed` if the run is to end before that, and for a record that was damaged meanwhile.
        """
        waited = False
        while True:
            try:
                result = act()
            except UserError as damage:
                raise RunFailed(str(damage)) from None
            except FileNotFoundError:
                raise RunFailed(
                    f"{what} cannot be written: its folder was deleted while the run was at work; there is nothing "
                    "left to go on from"
                ) from None
            except OSError as error:
                why = error.strerror or str(error)
                remedy = "make room" if error.errno in _FULL or error.errno is None else "make it writable"
                waited = True
                try:
                    with self._watch.during("paused"):
                        obstacle = f"{what} cannot be written ({why}); {remedy}, and the run goes on by itself"
                        self._inbox.wait_out(obstacle, steps_done, _AGAIN)
                except Stopped:
                    raise RunFailed(
                        f"{what} could not be written ({why}) before the run was stopped; the journal is sound: "
                        f"{remedy}, then resume"
                    ) from None
            else:
                if waited:
                    self._inbox.passed()
                    self._emit(Log(level="info", text=f"{what} could be written; the run goes on"))
                return result
