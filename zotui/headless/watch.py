"""Run, or watch a run, without a cockpit: progress on stderr and a table on stdout, or the events as JSON lines."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Self

from engine.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from engine.protocol.codec import encode
from engine.protocol.commands import Stop
from engine.protocol.events import AnyEvent, Done, Error, Eval, State
from engine.runs.directory import RunDir
from zotui.alerts.channels import Notifier
from zotui.alerts.triggers import Notices
from zotui.engines.attached import AttachedEngine
from zotui.engines.launched import EngineProcess
from zotui.headless.progress import Progress, result_table
from zotui.home import config
from zotui.text.output import print_out, talk
from zotui.text.run_names import farewell, reference

_LOG_LINES = 15  # of the engine's log, after a failure


class SignalRelay:
    """Passes INT, TERM and HUP on to whoever is to act on them.

    Enter it before there is one, so that no signal falls between the two: what arrives early is
    delivered by `deliver_to`.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._deliver: Callable[[int], None] | None = None
        self._before: dict[int, signal.Handlers] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A background job of a script inherits an ignored INT and is still to be interruptible;
            # an ignored HUP is nohup's, and means it.
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._handle)  # type: ignore[assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def deliver_to(self, deliver: Callable[[int], None]) -> None:
        """Deliver to `deliver`, first of all what has arrived already."""
        self._deliver = deliver
        for number in self.received:
            deliver(number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)
        if self._deliver is not None:
            with suppress(ProcessLookupError):
                self._deliver(number)


@dataclass
class _Watched:
    """What was seen of a run, and who is told of it."""

    evaluations: list[Eval]
    notices: Notices
    notifier: Notifier
    error: Error | None = None
    done: Done | None = None


def run_headless(launch: EngineProcess, json: bool, relay: SignalRelay | None = None) -> int:
    """Follow the engine to its end and return the exit code; a signal makes it save and end.

    Without a `relay` that was entered before the engine started, signals are relayed from here on.
    """
    if relay is None:
        with SignalRelay() as own:
            return run_headless(launch, json, own)
    relay.deliver_to(launch.signal)
    held = False

    def nobody_resumes() -> None:
        nonlocal held
        held = launch.send(Stop())

    watched = _watch(launch.run, launch.events(), json, nobody_resumes)
    code = launch.wait()
    if not watched.error and not watched.done and any(code == 128 + number for number in relay.received):
        talk(f"zotui: interrupted; `zotui resume {reference(launch.run)}` goes on where it was")
        return EXIT_INTERRUPTED
    if not watched.error and not watched.done and (kept := launch.take_back()):
        told = f"the engine {_how(code)} before its first step and without a word; its log is {kept}"
        watched.error, code = Error(kind="start", text=told), EXIT_FAILED
        if json:
            _print_event(watched.error)
    return _tell_end(launch.run, watched, code, json, held)


def follow_headless(run: RunDir, json: bool) -> int:
    """Attach to a live run and follow it to its end; a signal only ends the following.

    Returns the run's exit code, or 0 when it goes on. Raises `UserError` if it cannot be attached to.
    """
    with SignalRelay() as relay:
        engine = AttachedEngine(run)
        relay.deliver_to(lambda _: engine.leave())
        watched = _watch(run, engine.events(), json, lambda: talk(f"resume it in `zotui attach {reference(run)}`"))
        if relay.received and not watched.done:
            talk(farewell(run))
            return EXIT_DONE
        return _tell_end(run, watched, engine.wait(), json)


def _watch(run: RunDir, events: Iterator[AnyEvent], json: bool, on_hold: Callable[[], None]) -> _Watched:
    """Show the events until they end; `on_hold` is called when the run has paused since it cannot go on."""
    watched = _Watched(_past_evaluations(run), Notices(run), _notifier())
    for evaluation in watched.evaluations:
        watched.notices.remember(evaluation)
    progress = Progress(quiet=json)
    for event in events:
        if json:
            _print_event(event)
        progress.show(event)
        watched.notifier.tell(watched.notices.see(event))
        if isinstance(event, Eval):
            watched.evaluations.append(event)
        elif isinstance(event, Error):
            watched.error = event
        elif isinstance(event, Done):
            watched.done = event
        elif isinstance(event, State) and event.state == "paused" and event.reason and not event.waits:
            on_hold()
    progress.clear()
    return watched


def _tell_end(run: RunDir, watched: _Watched, code: int | None, json: bool, held: bool = False) -> int:
    """Say how the run ended, and return the exit code."""
    error, done = watched.error, watched.done
    watched.notifier.tell(watched.notices.ended())
    watched.notifier.close()
    if error and error.kind != "failure":
        talk(f"zotui: {error.text}")
        return EXIT_FAILED if code == EXIT_FAILED else EXIT_USAGE
    if error or not done:
        return _failed(run, error, code, json, held)
    name = reference(run)
    following = (
        f"zotui export {name} --to DIR --format merged" if done.outcome == "finished" else f"zotui resume {name}"
    )
    if not json:
        print_out("\n".join(result_table(watched.evaluations, done, following)))
    if done.outcome == "stopped":
        return code if code in (EXIT_DONE, EXIT_INTERRUPTED) else EXIT_INTERRUPTED
    if code != EXIT_DONE:  # everything was saved and said before
        talk(f"zotui: the engine ended with code {code} after the run had finished; see {run.log_file}")
    return EXIT_DONE


def _failed(run: RunDir, error: Error | None, code: int | None, json: bool, held: bool) -> int:
    """Say why the engine ended, show the end of its log and how to go on.

    `held` means that it had paused by itself: it has said all there is, and the same again would not help.
    """
    if error is None:
        text = f"the engine {_how(code)} without a word; the journal keeps every finished step"
        error = Error(kind="failure", text=text)
        if json:
            _print_event(error)
    talk(f"zotui: {error.text}")
    if held:
        preset = shlex.quote(run.info.read().preset or "PRESET")
        talk(f"a new run: zotui run {preset} --set KEY=VALUE (`zotui resume` would try the same step again)")
        return EXIT_FAILED
    tail = run.log_tail(_LOG_LINES)
    if tail:
        talk(f"the end of {run.log_file}:")
        for line in tail:
            talk(f"  {line}")
    talk(f"go on with: zotui resume {reference(run)}")
    return EXIT_FAILED


def _how(code: int | None) -> str:
    """How an engine ended, by its exit code."""
    if code is None:
        return "ended"
    return f"was killed by signal {code - 128}" if code > 128 else f"ended with code {code}"


def _notifier() -> Notifier:
    """Tells the user of what happens; with a faulty configuration, as it comes."""
    try:
        wanted = config.read().notify
    except UserError as error:
        talk(f"zotui: {error}; notifying as it comes")
        wanted = config.Notify()  # type: ignore[call-arg]
    terminal = _to_terminal if sys.stderr.isatty() else None
    return Notifier(wanted, bell=lambda: terminal and terminal("\a"), terminal=terminal, warn=talk)


def _to_terminal(text: str) -> None:
    with suppress(OSError, ValueError):  # a terminal that has gone away hears no bell
        sys.stderr.write(text)
        sys.stderr.flush()


def _past_evaluations(run: RunDir) -> list[Eval]:
    """The validation results from before a resume."""
    try:
        return run.evaluations()
    except (UserError, OSError):  # only a table at the end; the engine itself judges the records
        return []


def _print_event(event: AnyEvent) -> None:
    print_out(encode(event).decode().rstrip("\n"))
