"""Runs as users have them, `python -m engine RUN`: the same twice, killed and resumed, and the demo."""

from __future__ import annotations

import hashlib
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.benchmark.on_gpu.results import Found, verdict
from engine.benchmark.on_gpu.settings import Settings, demo_preset, preset
from engine.errors import RunFailed
from engine.preset.schema import Preset
from engine.protocol.codec import decode_event, encode
from engine.protocol.commands import Stop
from engine.protocol.events import AnyEvent, Error, State, Step, Telemetry
from engine.runs.directory import RunDir
from engine.runs.journal import fields_of

_TIMED = ("seconds",)
_SINCE_RESUMED = ("update_kept", "update_cosine")  # a resumed run counts them from its checkpoint on
_TRIES = 5  # at killing a run before it is over by itself
_MOST_SECONDS = 120.0  # of the demo

Engine = subprocess.Popen[bytes]


def twice(settings: Settings, folder: Path) -> Found:
    """Two runs of the same preset must have the same journal, evaluations and final weights."""
    one, other = (whole(settings, folder, name) for name in ("unbroken", "unbroken-again"))
    return _verdict(one, other, f"two runs of {settings.sizes.steps} steps")


def broken(settings: Settings, folder: Path) -> Found:
    """A run that is killed and resumed must end as one that nothing happened to."""
    unbroken = RunDir(_place(folder, "unbroken"))
    if not unbroken.info.there() or unbroken.summary().standing != "finished" or not unbroken.checkpoint_folders():
        unbroken = whole(settings, folder, "unbroken")
    run = _killed(settings, folder)
    killed_at = run.steps_done()
    _to_its_end(run, resume=True)
    what = f"killed after {killed_at} of {settings.sizes.steps} steps and resumed"
    found = _verdict(unbroken, run, what, _SINCE_RESUMED)
    if found.outcome == "passed":
        for done in (unbroken, run):
            shutil.rmtree(done.checkpoints)  # a folder to be sent should be small
    return found


def demo(settings: Settings, folder: Path) -> Found:
    """The demo as its preset has it, for two minutes at most: how accurate it was before, and is after."""
    run = _new(demo_preset(settings), folder, "demo")
    began: list[float] = []
    memory: list[int] = []
    load: list[float] = []

    def hear(event: AnyEvent, engine: Engine) -> None:
        if isinstance(event, Telemetry) and event.gpus:
            memory.append(event.gpus[0].memory_used)
            load.append(event.gpus[0].utilisation or 0.0)
        if not isinstance(event, Step):
            return
        began[:] = began or [time.monotonic()]
        if time.monotonic() - began[0] > _MOST_SECONDS:
            assert engine.stdin is not None
            engine.stdin.write(encode(Stop()))
            engine.stdin.flush()
            began[0] += _MOST_SECONDS  # told once

    _to_its_end(run, hear, fine=(0, 130))
    steps, evaluations = list(run.journal()), run.evaluations()
    before, after = evaluations[0].metrics, evaluations[-1].metrics
    step_s = statistics.median(step.seconds for step in steps)
    text = (
        f"accuracy {before['accuracy']:.3f} before, {after['accuracy']:.3f} after {len(steps)} steps; loss "
        f"{before['loss']:.4f}, {after['loss']:.4f}; {step_s * 1000:.1f} ms a step"
    )
    learned = settings.small or after["accuracy"] > before["accuracy"]
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    return verdict(
        learned, text,
        steps=len(steps), before=before, after=after, step_s=step_s, seconds=sum(step.seconds for step in steps),
        most_memory_used=max(memory, default=None), mean_utilisation=statistics.fmean(load) if load else None,
    )  # fmt: skip


def whole(settings: Settings, folder: Path, name: str) -> RunDir:
    """A new run of that name, taken to its end. Raises `RunFailed`."""
    run = _new(preset(settings), folder, name)
    _to_its_end(run)
    return run


def _killed(settings: Settings, folder: Path) -> RunDir:
    """A new run that was killed in the middle, within an interval and past a checkpoint."""
    for _ in range(_TRIES):
        run = _new(preset(settings), folder, "broken")

        def hear(event: AnyEvent, engine: Engine) -> None:
            if isinstance(event, Step) and event.step == settings.sizes.killed_at:
                engine.kill()

        _engine(run, hear)
        if run.steps_done() < settings.sizes.steps:
            return run
    raise RunFailed(f"{_TRIES} runs were over before they could be killed; see {run.log_file}")


def _new(chosen: Preset, folder: Path, name: str) -> RunDir:
    place = _place(folder, name)
    shutil.rmtree(place, ignore_errors=True)
    return RunDir.create(chosen, "on_gpu", place)


def _place(folder: Path, name: str) -> Path:
    return folder / "runs" / name


def _to_its_end(
    run: RunDir,
    hear: Callable[[AnyEvent, Engine], None] = lambda event, engine: None,
    *,
    resume: bool = False,
    fine: tuple[int, ...] = (0,),
) -> None:
    """Raises `RunFailed` with the engine's own words if it ends otherwise."""
    code, error = _engine(run, hear, resume=resume)
    if code not in fine:
        words = error or (run.log_tail(1) or ["it said nothing"])[0]
        raise RunFailed(f"{run.name}: the engine ended with {code}: {words}")


def _engine(run: RunDir, hear: Callable[[AnyEvent, Engine], None], *, resume: bool = False) -> tuple[int, str]:
    """Train; returns the exit code, and the error that was told."""
    command = [sys.executable, "-P", "-m", "engine", str(run.path), *(["--resume"] if resume else [])]
    error = ""
    with (
        run.log_file.open("ab") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as engine,
    ):
        assert engine.stdout is not None
        for line in engine.stdout:
            if not line.endswith(b"\n"):
                break  # killed while it wrote
            event = decode_event(line)
            if isinstance(event, Error):
                error = event.text
            if isinstance(event, State) and event.state == "paused":  # by itself: nobody is here to resume it
                error = event.reason
                engine.kill()
            hear(event, engine)
        engine.wait()  # with its standard input open, or it would take it that we have left
    return engine.returncode, error


def _verdict(one: RunDir, other: RunDir, what: str, passed_over: tuple[str, ...] = ()) -> Found:
    difference = _difference(one, other, (*_TIMED, *passed_over))
    steps, weights = one.steps_done(), _weights(one)
    if difference:
        return verdict(False, f"{what}: {difference}", steps=steps)
    text = f"{what}: journals, evaluations and weights equal to the last bit"
    return verdict(True, text, steps=steps, weights=weights)


def _difference(one: RunDir, other: RunDir, passed_over: tuple[str, ...]) -> str:
    """The first one between two runs, in words; empty if there is none."""

    def told(step: Step) -> dict[str, Any]:
        return {name: value for name, value in fields_of(step).items() if name not in passed_over}

    ours, theirs = list(one.journal()), list(other.journal())
    for a, b in zip(ours, theirs, strict=False):
        first, second = told(a), told(b)
        for name in first.keys() | second.keys():
            if first.get(name) != second.get(name):
                return f"step {a.step} has {name} {first.get(name)!r} and {second.get(name)!r}"
    if len(ours) != len(theirs):
        return f"{len(ours)} and {len(theirs)} steps"
    evaluated = [[(e.step, e.split, e.metrics) for e in run.evaluations()] for run in (one, other)]
    if evaluated[0] != evaluated[1]:
        return f"evaluations {evaluated[0]} and {evaluated[1]}"
    return "" if _weights(one) == _weights(other) else "the weights of their last checkpoints differ"


def _weights(run: RunDir) -> dict[str, str]:
    """Of the newest checkpoint: a hash for every file with numbers."""
    (*_, newest) = run.checkpoint_folders()
    files = sorted(newest.glob("*.safetensors"))
    hashes = {}
    for file in files:
        with file.open("rb") as read:
            hashes[file.name] = hashlib.file_digest(read, "sha256").hexdigest()
    return hashes
