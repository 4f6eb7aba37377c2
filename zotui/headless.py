"""Run without a cockpit: progress on stderr and a table on stdout, or the events as JSON lines."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Self

from engine.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from engine.messages import AnyEvent, Done, Error, Eval, State, Stop, encode
from engine.plain import plain
from engine.rundir import RunDir, runs_home
from zotui.launch import EngineProcess
from zotui.progress import Progress, result_table, talk

_LOG_LINES = 15  # of the engine's log, after a failure


class SignalRelay:
    """Passes INT, TERM and HUP on to the engine, which finishes its step, saves and ends.

    Enter it before the engine is started, so that no signal falls between the two: what arrives
    early is delivered by `attach`.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._launch: EngineProcess | None = None
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

    def attach(self, launch: EngineProcess) -> None:
        """Deliver to this engine, first of all what has arrived already."""
        self._launch = launch
        for number in self.received:
            launch.signal(number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)
        if self._launch is not None:
            with suppress(ProcessLookupError):
                self._launch.signal(number)


def run_headless(launch: EngineProcess, json: bool, relay: SignalRelay | None = None) -> int:
    """Follow the engine to its end and return the exit code.

    Without a `relay` that was entered before the engine started, signals are relayed from here on.
    """
    if relay is None:
        with SignalRelay() as own:
            return run_headless(launch, json, own)
    relay.attach(launch)
    evaluations = _past_evaluations(launch.run)
    progress = Progress(quiet=json)
    error: Error | None = None
    done: Done | None = None
    held = False
    for event in launch.events():
        if json:
            _print_event(event)
        progress.show(event)
        if isinstance(event, Eval):
            evaluations.append(event)
        elif isinstance(event, Error):
            error = event
        elif isinstance(event, Done):
            done = event
        elif isinstance(event, State) and event.state == "paused" and event.reason:
            held = launch.send(Stop())  # nobody is here to resume it
    progress.clear()
    code = launch.wait()
    if error and error.kind == "usage":
        talk(f"zotui: {error.text}")
        return EXIT_USAGE
    if error or not done:
        if not error and any(code == 128 + number for number in relay.received):
            talk(f"zotui: interrupted; `zotui resume {reference(launch.run)}` goes on where it was")
            return EXIT_INTERRUPTED
        return _failed(launch, error, code, json, held)
    name = reference(launch.run)
    following = (
        f"zotui export {name} --to DIR --format merged" if done.outcome == "finished" else f"zotui resume {name}"
    )
    if not json:
        print_out("\n".join(result_table(evaluations, done, following)))
    if done.outcome == "stopped":
        return code if code in (EXIT_DONE, EXIT_INTERRUPTED) else EXIT_INTERRUPTED
    if code != EXIT_DONE:  # everything was saved and said before
        talk(f"zotui: the engine ended with code {code} after the run had finished; see {launch.run.log_file}")
    return EXIT_DONE


def reference(run: RunDir) -> str:
    """How the user names this run to other commands, ready for a shell."""
    return shlex.quote(run.name if run.path.parent == runs_home().absolute() else str(run.path))


def close_stdout() -> None:
    """Whoever read our stdout is gone: let everything further go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _failed(launch: EngineProcess, error: Error | None, code: int, json: bool, held: bool) -> int:
    """Say why the engine ended, show the end of its log and how to go on.

    `held` means that it had paused by itself: it has said all there is, and the same again would not help.
    """
    if error is None:
        how = f"was killed by signal {code - 128}" if code > 128 else f"ended with code {code}"
        error = Error(kind="failure", text=f"the engine {how} without a word; the journal keeps every finished step")
        if json:
            _print_event(error)
    talk(f"zotui: {error.text}")
    if held:
        preset = shlex.quote(str(launch.run.info().get("preset", "PRESET")))
        talk(f"a new run: zotui run {preset} --set KEY=VALUE (`zotui resume` would try the same step again)")
        return EXIT_FAILED
    tail = launch.run.log_tail(_LOG_LINES)
    if tail:
        talk(f"the end of {launch.run.log_file}:")
        for line in tail:
            talk(f"  {line}")
    talk(f"go on with: zotui resume {reference(launch.run)}")
    return EXIT_FAILED


def _past_evaluations(run: RunDir) -> list[Eval]:
    """The validation results from before a resume."""
    past = []
    with suppress(Exception):  # only a table at the end; the engine itself judges the records
        for record in run.evaluations():
            past.append(
                Eval(
                    step=record["step"],
                    split=record["split"],
                    metrics=record["metrics"],
                    examples=0,
                    seconds=0.0,
                )
            )
    return past


def _print_event(event: AnyEvent) -> None:
    print_out(encode(event).decode().rstrip("\n"))


def print_out(text: str) -> None:
    """Lines on stdout; a reader that has gone away is no reason to stop."""
    try:
        print(plain(text), flush=True)
    except BrokenPipeError:  # the run goes on to its end
        close_stdout()
