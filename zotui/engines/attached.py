"""Talk to a live engine that another process launched, over the control socket in its run's directory."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

from engine.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from engine.protocol.codec import encode
from engine.protocol.commands import AnyCommand
from engine.protocol.events import AnyEvent, Done, Error
from engine.runs.directory import RunDir
from zotui.engines.listening import Listener
from zotui.text.run_names import reference

_CONNECTING = 3.0  # seconds in which the socket of an engine that has just started must appear
_ANSWERING = 10.0  # seconds in which a live engine says where it stands: it does so at once, whatever it does
_POLL = 0.05  # seconds


class NoAnswer(UserError):
    """A live engine that cannot be talked to; `zotui stop` reaches it by a signal."""


class AttachedEngine:
    """A live engine as its clients see it: from its `Hello` on, every event; commands are obeyed like its launcher's.

    To leave it changes nothing for the run.
    """

    attached = True

    def __init__(self, run: RunDir) -> None:
        """Connect. Raises `UserError` if the run is not live, and `NoAnswer` if it is and does not answer."""
        self.run = run
        self.steps_before = run.steps_done()
        self._left = False
        self._socket = _connect(run)
        self._listener = Listener(run, self._socket.recv)
        self._socket.settimeout(_ANSWERING)
        first = next(self._listener.events(lambda: None), None)
        self._socket.settimeout(None)
        if first is None or isinstance(first, Error):
            self.leave()
            if first is not None:
                raise NoAnswer(f"{run.name}: {first.text}")
            if not run.is_live():
                raise not_live(run)
            raise NoAnswer(f"{run.name}: is live, but does not answer; `zotui stop {reference(run)}` ends it")
        self._first = first

    @property
    def ignored(self) -> int:
        """How many lines were no event."""
        return self._listener.ignored

    def events(self) -> Iterator[AnyEvent]:
        """Every event until the engine ends, or is left. Lines that are no event are skipped."""
        return itertools.chain([self._first], self._listener.events(self._gone))

    def send(self, command: AnyCommand) -> bool:
        """Tell the engine something; False when it can no longer hear."""
        try:
            self._socket.sendall(encode(command))
        except OSError:
            return False
        return True

    def alive(self) -> bool:
        """Whether the engine still runs."""
        return self.run.is_live()

    def wait(self) -> int | None:
        """The exit code that follows from the engine's last word, once it has ended; None if it said none.

        After `leave` nothing is waited for.
        """
        self._gone()
        last = self._listener.last_word
        if isinstance(last, Error):
            return EXIT_USAGE if last.kind == "usage" else EXIT_FAILED
        if isinstance(last, Done):
            return EXIT_DONE if last.outcome == "finished" else EXIT_INTERRUPTED
        return None

    def _gone(self) -> None:
        while self.run.is_live() and not self._left:
            time.sleep(_POLL)

    def leave(self) -> None:
        """Detach: `events` ends, and the engine goes on."""
        self._left = True
        with suppress(OSError):  # the engine was faster
            self._socket.shutdown(socket.SHUT_RDWR)


def not_live(run: RunDir) -> UserError:
    """Why a run cannot be attached to, and what can be done instead."""
    standing, name = run.summary().standing, reference(run)
    going_on = "" if standing == "finished" else f"`zotui resume {name}` goes on with it, "
    return UserError(f"{run.name}: is not live ({standing}); {going_on}`zotui show {name}` tells how it went")


def _connect(run: RunDir) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    deadline = time.monotonic() + _CONNECTING
    while True:
        if not run.is_live():
            raise not_live(run)
        try:
            connected.settimeout(_CONNECTING)
            with run.control_address() as address:
                connected.connect(address)
            return connected
        except OSError as error:
            missing = isinstance(error, (FileNotFoundError, ConnectionRefusedError))  # starting, or about to be gone
            if not missing or time.monotonic() > deadline:
                connected.close()
                raise NoAnswer(
                    f"{run.name}: is live, but its control socket cannot be reached ({error.strerror or error}); "
                    f"`zotui stop {reference(run)}` ends it"
                ) from None
        time.sleep(_POLL)
