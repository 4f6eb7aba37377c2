"""`python -m engine.preflight`: what a run would start on and take, without starting it.

With a preset's file, or `-` for its text as one JSON string on standard input: everything that a run does
before its first step, but for loading the model; `--calibrate` loads it too and times a few steps, of which
nothing is kept. With `--outlook` and many files: what each needs by its model's configuration alone, without
a download and without reading data. Standard output is JSON lines (`engine.protocol.findings`). `--leashed` ends it
when standard input is closed. A preset that would be refused is refused: exit code 2.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Literal

from engine.asked import Read, Say, answer
from engine.errors import NotFinite, UserError
from engine.gpus import mask_gpus
from engine.preflight.plan import Prepared, plan_run, prepare
from engine.preset.schema import Preset
from engine.protocol.events import Log, Phase
from engine.protocol.findings import Data, Model, Room, Setting, Text
from engine.runs.home import runs_home
from engine.stdio import leave

_BEGAN = time.monotonic()
_ONCE = ("preparing the demo", "downloading")  # the run will find done what took this time here


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m engine.preflight")
    parser.add_argument("sources", nargs="+", metavar="PRESET")
    parser.add_argument("--outlook", action="store_true")
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--leashed", action="store_true")
    arguments = parser.parse_args()

    def act(read: Read, say: Say) -> None:
        if arguments.outlook:
            from engine.preflight.outlook import look

            look([Path(source) for source in arguments.sources], say)
        else:
            preflight(read(), say, calibrated=arguments.calibrate)

    return answer("engine.preflight", arguments.sources[0], act, leashed=arguments.leashed)


def preflight(wanted: Preset, say: Say, *, calibrated: bool = False) -> None:
    """Say what a run of `wanted` would start on and take. Raises `UserError` where it would be refused."""
    mask_gpus(wanted.model.device)

    began, since = _BEGAN, 0.0

    def report(name: str, progress: float | None, detail: str) -> None:
        nonlocal began, since
        now = time.monotonic()
        began, since = began + (now - since if since else 0.0), now if name in _ONCE else 0.0
        say(Phase(name=name, progress=progress, detail=detail))

    def note(level: Literal["info", "warning"], text: str) -> None:
        say(Log(level=level, text=text))

    from engine.preflight.checks import check_disk
    from engine.preflight.choose import describe_device
    from engine.preflight.disk import free_disk
    from engine.preflight.scope import describe_scope, moving_numbers

    plan = plan_run(wanted, report, note)
    facts = plan.facts
    say(
        Model(
            path=wanted.model.path, architecture=facts.architecture, parameters=facts.parameters,
            scope=moving_numbers(facts, wanted.method), matrices=len(facts.moving or facts.matrices),
            context=facts.context, download=sum(plan.found.sizes.values()),
            still=describe_scope(facts, wanted.method), adapter=facts.scope == "adapter",
        )
    )  # fmt: skip
    device = describe_device(plan.device)
    say(Setting(runtime=plan.runtime, why=plan.why, device=device, dtype=plan.dtype, updates=plan.least.updates))
    disk = plan.disk
    parts = {f"{disk.checkpoints} checkpoints": disk.checkpoint * disk.checkpoints, "journal": disk.journal}
    free, folder = free_disk(runs_home())
    say(Room(of="disk", needed=disk.total, available=free, where=str(folder), parts=parts))
    level, line = check_disk(disk, folder)
    if level == "warning":
        note(level, line)
    prepared = prepare(plan, report, note)
    say(_data(prepared))
    fit = prepared.fit
    if fit.fold != prepared.plan.least.fold:  # the data takes more than was known of the run without it
        note("warning", fit.updates)
    memory, host = fit.memory, fit.host
    say(Room(of="memory", needed=memory.total, available=fit.available, where=plan.device, parts=memory.parts))
    if host.total:
        there = fit.available_host
        say(Room(of="host memory", needed=host.total, available=there, where="the host", parts=host.parts))
    if calibrated:
        from engine.preflight.calibrate import calibrate

        try:
            say(calibrate(prepared, began, report, note))
        except NotFinite as fault:
            raise UserError(str(fault)) from None


def _data(prepared: Prepared) -> Data:
    task = prepared.task
    first = task.train[0]

    def text(ids: tuple[int, ...]) -> Text:
        return Text(text=str(prepared.tokenizer.decode(list(ids))), tokens=len(ids))

    return Data(
        train=len(task.train),
        validation=len(task.validation),
        longest=prepared.needs.longest,
        objective=task.objective,
        prompt=text(first.prompt),
        options=[text(option) for option in first.options],
        label=first.label,
        notes=task.notes,
    )


if __name__ == "__main__":
    leave(main())
