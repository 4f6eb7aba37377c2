"""One engine's part of a run: opens it, trains, records how it ended."""

from __future__ import annotations

import logging
import os
from typing import Literal

from engine import machine
from engine.clients import trackers
from engine.clients.inbox import Inbox, Stopped
from engine.clients.outbox import Outbox
from engine.clients.telemetry import Gpus, Sampler
from engine.environment import loaded
from engine.errors import EXIT_DONE, EXIT_INTERRUPTED, RunFailed
from engine.gpus import mask_gpus
from engine.protocol.events import Done, Hello, Log, Phase
from engine.runs import usage
from engine.runs.directory import RunDir
from engine.runs.info import Former, Info, NoiseRecord
from engine.runs.timing import time_spent
from engine.training.disk_wait import DiskWait
from engine.training.stopwatch import Stopwatch


def train(run: RunDir, inbox: Inbox, outbox: Outbox, *, resume: bool) -> int:
    """Train to the end, or to where it is stopped; returns the exit code.

    Raises `UserError`, `RunFailed`, and `Stopped` before the first step.
    """
    watch = Stopwatch(run)
    wanted = run.preset()
    trackers.follow(run, wanted, outbox)
    recorder = usage.Recorder(run.usage_file, run.steps_done())
    outbox.follow(recorder.take, recorder.end, usage.PATIENCE)
    if wanted.run.when_app_leaves == "stop":
        inbox.stop_when_alone()
    sampler = Sampler(outbox.emit, Gpus.open(mask_gpus(wanted.model.device)))
    sampler.start()
    if resume and (recorded := run.info.read()).runtime:
        # What took the first steps, and in which precision, takes the others too: auto may be another one here.
        as_before = {"runtime": recorded.runtime, "dtype": recorded.dtype or wanted.model.dtype}
        wanted = wanted.model_copy(update={"model": wanted.model.model_copy(update=as_before)})

    def report(name: str, progress: float | None, detail: str) -> None:
        logging.getLogger("engine").info("%s %s", name, detail)
        outbox.emit(Phase(name=name, progress=progress, detail=detail))

    def note(level: Literal["info", "warning"], text: str) -> None:
        logging.getLogger("engine").info("%s", text)
        outbox.emit(Log(level=level, text=text))

    from engine.preflight.open import open_run
    from engine.training.trainer import Trainer

    opened = open_run(wanted, report, note, run)
    sampler.watch_kv_cache(opened.runtime.kv_cache_usage)
    disk_wait = DiskWait(inbox, outbox.emit, watch)
    trainer = Trainer(run, wanted, opened, inbox, outbox.emit, watch, disk_wait)
    restored = trainer.restore() if resume else ""
    report("measuring the noise", None, "scoring one batch in several orders")
    noise = trainer.measure_noise()
    loaded()
    versions, hardware = machine.versions(), machine.hardware()
    info = run.info.read()
    formerly, elsewhere = _former_environment(info, trainer.steps_done, versions, hardware)
    hello = Hello(
        run=str(run.path),
        name=run.name,
        preset=info.preset,
        model=wanted.model.path,
        runtime=opened.runtime.name,
        device=opened.device,
        dtype=opened.dtype,
        steps=wanted.run.steps,
        first_step=trainer.steps_done,
        seconds=watch.seconds(),
        noise=noise.nats if noise else None,
        pid=os.getpid(),
        versions=versions,
    )
    record = dict(
        state="running", paused=False, error="", early="", runtime=hello.runtime, device=hello.device,
        dtype=hello.dtype, versions=versions, pid=hello.pid, hardware=hardware,
        started_on=opened.started_on, fold=opened.fold, experts=opened.experts, formerly=formerly,
        noise=NoiseRecord(nats=noise.nats, measured=noise.measured, resolution=noise.resolution) if noise else None,
    )  # fmt: skip
    disk_wait.write("run.json", trainer.steps_done, lambda: run.info.update(**record))
    outbox.emit(hello)
    if restored:
        note("info", restored)
    if elsewhere:
        note("warning", elsewhere)
    outcome, code = "finished", EXIT_DONE
    try:
        trainer.train()
    except Stopped:
        outcome, code = "stopped", EXIT_INTERRUPTED
    finally:
        inbox.over()
    if trainer.steps_done or inbox.fault:
        trainer.save()
    if inbox.ignored > 1:
        outbox.emit(Log(level="warning", text=f"{inbox.ignored} commands were not understood, and ignored"))
    seconds = watch.save()
    if inbox.fault:  # nobody could go on from there
        raise RunFailed(inbox.fault)
    ended = {"state": outcome, "early": trainer.early}
    disk_wait.write("run.json", trainer.steps_done, lambda: run.info.update(**ended))
    outbox.emit(
        Done(
            outcome=outcome,  # type: ignore[arg-type]
            steps=trainer.steps_done,
            seconds=seconds,
            metrics=trainer.metrics,
            run=str(run.path),
            time=time_spent(run),
            reason=trainer.early,
        )
    )
    return code


def record_end(run: RunDir, **changes: str) -> None:
    """Nothing is left that could wait until it can be written."""
    try:
        run.info.update(**changes)
    except OSError as unwritten:
        logging.getLogger("engine").error("run.json cannot be written: %s", unwritten)


def _former_environment(
    before: Info, steps_done: int, versions: dict[str, str], hardware: dict[str, str | int]
) -> tuple[list[Former], str]:
    """What took the steps until now, for the run's record; and a line for the log where it differs, or nothing."""
    changed = machine.differences(before.versions, versions, before.hardware, hardware) if steps_done else []
    if not changed:
        return before.formerly, ""
    former = Former(until_step=steps_done, versions=before.versions or None, hardware=before.hardware or None)
    return [*before.formerly, former], f"was run with {'; '.join(changed)}: the last bits may differ"
