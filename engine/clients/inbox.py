"""What the user asked for: commands from whoever is there, and signals, acted on between steps."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from msgspec import structs

from engine.errors import EXIT_INTERRUPTED
from engine.protocol.codec import decode_command
from engine.protocol.commands import AnyCommand, Change, Evaluate, Pause, Resume, Save, Stop, Try
from engine.protocol.events import Event as Message
from engine.protocol.events import Log, State, StateName
from engine.protocol.frames import frames

Request = Save | Evaluate | Change | Try
"""What is done between two steps."""

_MOST_WAITING = 32  # requests: more of them than anybody could mean
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Ends the run where it stands. Not an `Exception`, so that no library swallows it."""


class Inbox:
    """Holds requests until the loop asks for them at the end of a step.

    Commands come in on a thread for each who gives them, signals in the main thread. Each is answered at
    once by a `State` event, which goes to everyone, and by another when it has taken effect. A command that
    was given already, and still waits, changes nothing.
    """

    def __init__(self, emit: Callable[[Message], None]) -> None:
        self._emit = emit
        self._changed = threading.Condition()
        self._paused = False
        self._stop_reason = ""
        self._there = 0  # how many there are who can give commands
        self._stops_alone = False
        self._wanted: list[Request] = []
        self._running = False  # False until the first step: nothing to save, nothing to wait for
        self._ending = False  # whether a command has ended the start-up
        self._over = False  # whether nothing is done any more but to save and to end
        self._state: StateName = "starting"
        self._steps = 0
        self.ignored = 0  # lines that were no command
        self.fault = ""  # why the run cannot go on, while it is held for that
        self._obstacle = ""  # what it waits for, to go on by itself

    # -- for the loop ---------------------------------------------------------------------------

    def started(self, steps_done: int) -> None:
        """The loop is about to begin: from now on requests wait for the end of a step."""
        with self._changed:
            self._running, self._steps = True, steps_done
        if self._stop_reason:
            raise Stopped(self._stop_reason)

    def enter(self, state: StateName, steps_done: int, reason: str = "") -> None:
        """Say what the engine does now."""
        with self._changed:
            self._steps = steps_done
            # A pause or stop asked for while something else is under way stays on the screen.
            if state != self._state:
                self._state = state
                self._emit(State(state=state, step=steps_done, reason=reason))

    def next_request(self, steps_done: int) -> Request | None:
        """What to do before the next step; None to go on. Blocks while paused.

        Raises `Stopped` when the run is to end.
        """
        with self._changed:
            self._steps = steps_done
            while True:
                if self._stop_reason:
                    raise Stopped(self._stop_reason)
                if self._wanted:
                    return self._wanted.pop(0)
                if not self._paused:
                    break
                self._say("paused")
                self._changed.wait()
            self._say("running")
            return None

    @property
    def paused(self) -> bool:
        """Whether `next_request` would block: the run is paused, and nothing else is asked for."""
        return self._paused

    def hold(self, fault: str, steps_done: int) -> None:
        """Pause of the engine's own accord, since it cannot go on; `fault` says why and what to try.

        Resuming tries again. With nobody there to say so the run ends, now or when the last one leaves.
        """
        with self._changed:
            self._steps, self.fault = steps_done, fault
            self._paused = True
            self._say("paused")
            self._look_around()

    def wait_out(self, obstacle: str, steps_done: int, seconds: float) -> None:
        """Pause for what passes by itself, such as a full disk: so long, or until asked to resume.

        Call it again while it lasts. Raises `Stopped` when the run is to end.
        """
        with self._changed:
            news, self._steps, self._obstacle = obstacle != self._obstacle, steps_done, obstacle
            if news:
                self._tell("paused")  # also of a run that was paused already
            else:
                self._say("paused")
            if not self._stop_reason:
                self._changed.wait(seconds)
            if self._stop_reason:
                raise Stopped(self._stop_reason)

    def passed(self) -> None:
        """What `wait_out` waited for is over."""
        with self._changed:
            self._obstacle = ""
            self._tell("paused" if self._paused else "running")  # also where that is no other state

    def check_stop(self) -> None:
        """Within something longer than a step: raises `Stopped` when the run is to end."""
        if self._stop_reason:
            raise Stopped(self._stop_reason)

    def over(self) -> None:
        """No request is looked at any more: one that waits still, or comes from now on, is told so."""
        with self._changed:
            self._over = True
            for request in self._wanted:
                self._too_late(request)
            if self._paused and not self._stop_reason:
                self._too_late(Pause())
            self._wanted, self._paused = [], False

    # -- for commands and signals ---------------------------------------------------------------

    def listen(self, read: Callable[[int], bytes], ended: Callable[[], None] = lambda: None) -> None:
        """Obey, on a thread, the commands that `read` brings, until they end; then call `ended`.

        Until then somebody is there.
        """
        with self._changed:
            self._there += 1
        threading.Thread(target=self._read, args=(read, ended), name="commands", daemon=True).start()

    def stop_when_alone(self) -> None:
        """From now on the run is saved and stopped once nobody is there, rather than to go on by itself."""
        with self._changed:
            self._stops_alone = True
            self._look_around()

    def obey_signals(self) -> None:
        """INT, TERM and HUP finish the step, save and end; a second one ends at once."""
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)

    def obey(self, command: AnyCommand) -> None:
        """Take one command."""
        with self._changed:
            if self._over and not isinstance(command, Resume | Stop):  # these still end a wait for a disk
                self._too_late(command)
            elif isinstance(command, Pause):
                self._paused = True
                self._say("pausing" if self._running else "paused")
            elif isinstance(command, Resume):
                held, self._paused, self.fault = self._paused, False, ""
                if held or self._obstacle:
                    self._say("running" if self._running else "starting")
                else:
                    self._tell(self._state)  # another one was faster: whoever asks is answered
            elif isinstance(command, Stop):
                self._request_stop("asked to stop")
            else:
                self._want(command)
            self._changed.notify_all()

    def _want(self, request: Request) -> None:
        last = self._wanted[-1] if self._wanted else None
        if isinstance(request, Change) and isinstance(last, Change):  # the later one stands
            named = {name: value for name, value in structs.asdict(request).items() if value is not None}
            self._wanted[-1] = structs.replace(last, **named)
        elif request in self._wanted and not isinstance(request, Change):
            return
        elif len(self._wanted) < _MOST_WAITING:
            self._wanted.append(request)
        else:
            self._emit(Log(level="warning", text=f"{_MOST_WAITING} requests wait already: one was ignored"))

    def _too_late(self, command: AnyCommand) -> None:
        name = type(command).__name__.lower()
        self._emit(Log(level="warning", text=f"'{name}' came too late: the run is over, and nothing came of it"))

    def _request_stop(self, reason: str) -> None:
        if self._running:
            self._stop_reason = self._stop_reason or reason
            self._say("stopping")
            self._changed.notify_all()
        elif not self._ending:  # the main thread is deep in start-up: only a signal reaches it, and a second one kills
            self._ending = True
            os.kill(os.getpid(), signal.SIGTERM)

    def _look_around(self) -> None:
        """With nobody there, end a run that cannot go on, or that is not to go on by itself."""
        if self._there:
            return
        if self.fault:
            self._request_stop(self.fault)
        elif self._stops_alone:
            self._request_stop("the app is gone")

    def _say(self, state: StateName) -> None:
        if state != self._state:
            self._tell(state)

    def _tell(self, state: StateName) -> None:
        self._state = state
        reason = self.fault or self._obstacle if state == "paused" else self._stop_reason
        waits = state == "paused" and bool(self._obstacle) and not self.fault
        self._emit(State(state=state, step=self._steps, reason=reason, waits=waits))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._stop_reason:
            os._exit(EXIT_INTERRUPTED)  # what was journaled is on its way to the disk already
        # Not under the lock, which the interrupted main thread may hold: these are plain assignments.
        self._stop_reason = signal.Signals(number).name
        if not self._running:
            raise Stopped(self._stop_reason)
        threading.Thread(target=self._announce_stop, daemon=True).start()

    def _announce_stop(self) -> None:
        with self._changed:
            self._say("stopping")
            self._changed.notify_all()

    def _read(self, read: Callable[[int], bytes], ended: Callable[[], None]) -> None:
        for command in frames(read, decode_command):
            if command is not None:
                self.obey(command)
                continue
            with self._changed:
                self.ignored += 1
                first = self.ignored == 1
            if first:
                text = "a command that is not understood was ignored; further ones are only counted"
                self._emit(Log(level="warning", text=text))
        ended()
        with self._changed:
            self._there -= 1
            self._look_around()
