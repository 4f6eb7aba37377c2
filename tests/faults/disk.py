"""The disk is full, or a file cannot be written: the run is held until there is room, and goes on."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from engine.protocol.commands import Pause, Resume, Stop
from engine.protocol.events import Error, State, Step
from tests.faults.evidence import whole_lines
from tests.faults.mounts import read_only, small_disk
from tests.faults.trial import Outcome, Trial
from tests.faults.workshop import EVALUATE, SAVE, Workshop
from tests.live_engine import Engine

_UNLIMITED = resource.RLIM_INFINITY


def limited(shop: Workshop, outcome: Outcome) -> None:
    """No file of the engine may grow, as RLIMIT_FSIZE has it: at the journal, an evaluation, a checkpoint."""
    for _ in range(shop.tries(1, 5)):
        trial = Trial(shop, outcome)
        engine = trial.start()
        engine.until(Step, step=4)
        with _no_file_beyond(engine, trial.run.journal_file.stat().st_size + 100):  # in the middle of a line
            _held(trial, engine)
        outcome.tried += 1
        _goes_on(engine)
        engine.until(State, state="evaluating")
        with _no_file_beyond(engine, trial.run.evaluations_file.stat().st_size):
            _held(trial, engine)
        outcome.tried += 1
        _goes_on(engine)
        with _no_file_beyond(engine, 100_000):  # more than the journal, less than the weights
            _held(trial, engine)
        outcome.tried += 1
        trial.finish(engine)


def full(shop: Workshop, outcome: Outcome) -> None:
    """A file system that is really full, emptied again, and filled once more."""
    folder = shop.folder / "small-disk"
    with small_disk(folder, mebibytes=32):
        trial = Trial(shop, outcome, run=shop.new_run(shop.preset(steps=120), within=folder))
        engine = trial.start()
        for _ in range(shop.tries(2, 4)):
            for _ in range(SAVE):
                engine.until(Step)
            filler = folder / "filler"
            with _paused(engine):
                _fill(filler)
            _held(trial, engine)
            filler.unlink()
            outcome.tried += 1
            _goes_on(engine)
        trial.finish(engine)


def unwritable(shop: Workshop, outcome: Outcome) -> None:
    """A directory that has become read-only: no run begins in it, and one that is at work is held."""
    trial = Trial(shop, outcome)
    engine = trial.start()
    engine.until(Step, step=EVALUATE - 3)
    with ExitStack() as stack:
        with _paused(engine):
            stack.enter_context(read_only(trial.run.path))
        _held(trial, engine)
    outcome.tried += 1
    _goes_on(engine)
    with ExitStack() as stack:
        with _paused(engine):
            stack.enter_context(read_only(trial.run.path))
        _held(trial, engine)
        engine.send(Stop())  # somebody has lost patience
        code = engine.finish()
        assert code == 1 and engine.of(Error), f"the held engine ended with {code} and without a word"
        trial.ended(engine)
        outcome.tried += 1
        refused = shop.zotui("resume", str(trial.run.path), "--headless")
    assert refused.returncode == 2 and str(trial.run.path) in refused.stderr, f"not refused: {refused.stderr}"
    assert len(refused.stderr.splitlines()) <= 8, f"refused at length: {refused.stderr}"
    outcome.tried += 1
    trial.finish()


def _held(trial: Trial, engine: Engine) -> None:
    """The engine says that it is held and why; the records stay as they are, and whole."""
    held = engine.until(State, state="paused")
    assert held.reason, "the run is paused without a reason"
    trial.ended(engine)
    assert len(whole_lines(trial.run)) == held.step, f"held after {held.step} steps, journaled {trial.steps_done}"


@contextmanager
def _paused(engine: Engine) -> Iterator[None]:
    """Within it no step is taken: on a quick machine the run would be over before the fault strikes."""
    engine.send(Pause())
    engine.until(State, state="paused")
    yield
    engine.send(Resume())
    engine.until(State, state="running")


def _goes_on(engine: Engine) -> None:
    engine.until(Step)


def _fill(filler: Path) -> None:
    """Write until nothing more goes in, not even a byte."""
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        for size in (2**16, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))


@contextmanager
def _no_file_beyond(engine: Engine, size: int) -> Iterator[None]:
    resource.prlimit(engine.process.pid, resource.RLIMIT_FSIZE, (size, _UNLIMITED))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(engine.process.pid, resource.RLIMIT_FSIZE, (_UNLIMITED, _UNLIMITED))
