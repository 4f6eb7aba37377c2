"""`python -m engine RUN_DIR [--resume]`: train in a run's directory, talk over the pipes.

Events go to standard output and commands come from standard input (`engine.messages`), and both go over
the control socket in the run's directory too; the log goes to standard error, which zotui points at a
file. The run outlives whoever launched it, unless `run.when_app_leaves` says otherwise. The exit code is
that of `engine.errors`.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any, Literal

from engine import environment, log, trackers, usage
from engine.command import leave
from engine.control import Control, Stopped
from engine.control_socket import ControlSocket
from engine.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, RunFailed, UserError
from engine.messages import Done, Error, Hello, Log, Phase
from engine.outlet import Outlet
from engine.patience import Patience
from engine.rundir import RunDir
from engine.stopwatch import Stopwatch, time_spent
from engine.telemetry import Gpus, Sampler


def main() -> int:
    """Run, and say how it ended."""
    parser = argparse.ArgumentParser(prog="python -m engine")
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    outlet = Outlet.take_stdout()
    faulthandler.enable()  # a native crash leaves its stack in the log
    environment.prepare()
    run = RunDir(arguments.run)
    control = Control(outlet.emit)
    control.obey_signals()
    control.listen(lambda most: os.read(0, most))
    clients = ControlSocket(run, outlet, control.listen)
    code = EXIT_FAILED
    try:
        run.acquire()
        run.refuse_damaged()
        run.clear_unfinished()
        clients.open()
        code = _train(run, control, outlet, resume=arguments.resume)
    except UserError as error:
        outlet.emit(Error(kind="usage", text=str(error)))
        code = EXIT_USAGE
    except Stopped:
        so_far = run.summary()  # of a run that was being resumed
        outlet.emit(
            Done(
                outcome="stopped", steps=so_far.steps_done, seconds=0.0, metrics=so_far.metrics, run=str(run.path),
                time=time_spent(run),
            )
        )  # fmt: skip
        _record_end(run, state="stopped")
        code = EXIT_INTERRUPTED
    except RunFailed as error:
        outlet.emit(Error(kind="failure", text=str(error)))
        _record_end(run, state="failed", error=str(error))
    except BaseException as error:  # noqa: BLE001 - the last resort: say it, log it, and leave the journal as it is
        traceback.print_exc()
        text = f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0]
        outlet.emit(Error(kind="failure", text=text))
        _record_end(run, state="failed", error=text)
    finally:
        outlet.close()
        clients.close()
    return code


def _train(run: RunDir, control: Control, outlet: Outlet, *, resume: bool) -> int:
    watch = Stopwatch(run)
    wanted = run.preset()
    trackers.follow(run, wanted, outlet)
    recorder = usage.Recorder(run.usage_file, run.steps_done())
    outlet.follow(recorder.take, recorder.end, usage.PATIENCE)
    if wanted.run.when_app_leaves == "stop":
        control.stop_when_alone()
    sampler = Sampler(outlet.emit, Gpus.open(environment.mask_gpus(wanted.model.device)))
    sampler.start()
    if resume and (recorded := run.info.read().get("runtime")):
        # The runtime that took the first steps takes the others too.
        wanted = wanted.model_copy(update={"model": wanted.model.model_copy(update={"runtime": recorded})})

    def report(name: str, progress: float | None, detail: str) -> None:
        logging.getLogger("engine").info("%s %s", name, detail)
        outlet.emit(Phase(name=name, progress=progress, detail=detail))

    def note(level: Literal["info", "warning"], text: str) -> None:
        logging.getLogger("engine").info("%s", text)
        outlet.emit(Log(level=level, text=text))

    from engine.opening import open_run
    from engine.trainer import Trainer

    opened = open_run(wanted, report, note, run)
    sampler.watch_kv_cache(opened.runtime.kv_cache_usage)
    patience = Patience(control, outlet.emit, watch)
    trainer = Trainer(run, wanted, opened, control, outlet.emit, watch, patience)
    restored = trainer.restore() if resume else ""
    report("measuring the noise", None, "scoring one batch in several orders")
    noise = trainer.measure_noise()
    environment.loaded()
    versions, hardware = environment.versions(), environment.hardware()
    former, elsewhere = _former_environment(run.info.read(), trainer.steps_done, versions, hardware)
    hello = Hello(
        run=str(run.path),
        name=run.name,
        preset=run.info.read().get("preset", ""),
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
        state="running", paused=False, error="", runtime=hello.runtime, device=hello.device, dtype=hello.dtype,
        versions=versions, pid=hello.pid, hardware=hardware, started_on=opened.started_on, **former,
        noise={"nats": noise.nats, "measured": noise.measured, "resolution": noise.resolution} if noise else None,
    )  # fmt: skip
    patience.write("run.json", trainer.steps_done, lambda: run.info.update(**record))
    outlet.emit(hello)
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
        control.over()
    if trainer.steps_done or control.fault:
        trainer.save()
    if control.ignored > 1:
        outlet.emit(Log(level="warning", text=f"{control.ignored} commands were not understood, and ignored"))
    watch.save()
    if control.fault:  # nobody could go on from there
        raise RunFailed(control.fault)
    patience.write("run.json", trainer.steps_done, lambda: run.info.update(state=outcome))
    outlet.emit(
        Done(
            outcome=outcome,  # type: ignore[arg-type]
            steps=trainer.steps_done,
            seconds=watch.seconds(),
            metrics=trainer.metrics,
            run=str(run.path),
            time=time_spent(run),
        )
    )
    return code


def _record_end(run: RunDir, **changes: str) -> None:
    """Nothing is left that could wait until it can be written."""
    try:
        run.info.update(**changes)
    except OSError as unwritten:
        logging.getLogger("engine").error("run.json cannot be written: %s", unwritten)


def _former_environment(
    before: dict[str, Any], steps_done: int, versions: dict[str, str], hardware: dict[str, str | int]
) -> tuple[dict[str, Any], str]:
    """What took the steps until now, for the run's record where it differs; and a line for the log, or nothing."""
    changed = environment.differences(before, versions, hardware) if steps_done else []
    if not changed:
        return {}, ""
    former = {"until_step": steps_done, "versions": before.get("versions"), "hardware": before.get("hardware")}
    kept = {"formerly": [*before.get("formerly", []), former]}
    return kept, f"was run with {'; '.join(changed)}: the last bits may differ"


if __name__ == "__main__":
    log.take_over()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    leave(main())
