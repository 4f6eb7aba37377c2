"""`python -m engine.benchmark.on_gpu.probes PRESET PROBED STEPS`: a preset seen from within, as one JSON object.

The preset is opened as a run opens it. Then so many batches are probed twice each at the weights of its model: with
CUDA graphs, the first of a shape goes the ordinary way and is recorded, the second is its replay. Then so many steps
are taken.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Literal

import msgspec

from engine.environment import prepare
from engine.errors import EXIT_DONE
from engine.gpus import mask_gpus
from engine.preset.load import load_file
from engine.preset.schema import Preset
from engine.stdio import exit_code, leave, take_stdout

_WARM = 5  # steps that are not timed


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What there was to see. Losses in nats, to the last bit."""

    runtime: str
    device: str
    dtype: str
    versions: dict[str, str]
    hardware: dict[str, str | int]
    notes: list[str]  # as the log of a run has them, the self-check's verdict among them
    opening: dict[str, float]  # seconds of every phase of the start
    first: list[tuple[float, float]]  # losses of both signs of every batch that was probed
    again: list[tuple[float, float]]  # the same, probed once more
    new: int  # of the batches, whose shape was recorded when they were probed first
    recorded: int  # shapes of a pass, in the end
    packed: bool  # whether passes went the packed way, not through the public API
    step_s: float | None  # median of the steps, without folds


def main() -> int:
    """The command."""
    answers = os.fdopen(take_stdout(), "wb", buffering=0)
    file, probed, steps = sys.argv[1:]

    def act() -> int:
        wanted = load_file(Path(file))
        mask_gpus(wanted.model.device)
        prepare()
        answers.write(msgspec.json.encode(look(wanted, int(probed), int(steps))))
        return EXIT_DONE

    return exit_code(act)


def look(wanted: Preset, probed: int, steps: int) -> Seen:
    """Open it, probe, take steps. Raises what opening a run raises."""
    import statistics

    from engine import machine
    from engine.optimizer import Optimizer, probing_of
    from engine.preflight.open import open_run
    from engine.runtimes.vllm.runtime import VllmRuntime
    from engine.tasks import objective
    from engine.tasks.batches import Batches

    notes: list[str] = []
    opening: dict[str, float] = {}
    since = time.monotonic()
    phase = "preparing"

    def report(name: str, progress: float | None, detail: str) -> None:
        nonlocal since, phase
        now = time.monotonic()
        opening[phase] = round(opening.get(phase, 0.0) + now - since, 2)
        since, phase = now, name

    def note(level: Literal["info", "warning"], text: str) -> None:
        notes.append(text)

    opened = open_run(wanted, report, note)
    report("", None, "")
    runtime = opened.runtime
    batches = Batches.of(opened.task.train, wanted)
    ours = runtime if isinstance(runtime, VllmRuntime) else None

    def shapes() -> int:
        return ours.recorded() if ours else 0

    def losses(index: int) -> tuple[float, float]:
        examples = batches.at(index)
        (probe, *_) = runtime.probe(0, probing_of(wanted.method, len(examples)), wanted.method.eps, examples)
        plus, minus = (objective.loss(opened.task.objective, examples, scores) for scores in (probe.plus, probe.minus))
        return plus, minus

    runtime.redraw(0)
    first, again, new = [], [], 0
    for index in range(probed):
        before = shapes()
        first.append(losses(index))
        new += shapes() > before
        again.append(losses(index))
    optimizer = Optimizer(wanted.method, wanted.run.steps, opened.task.objective, wanted.run.seed)
    seconds = []
    if ours:
        ours.forward_seconds()
    for step in range(steps):
        began = time.perf_counter()
        here, upcoming = map(batches.at, (step, step + 1))
        optimizer.step(runtime, step, here, upcoming)
        if step >= _WARM and step % wanted.method.interval:
            seconds.append(time.perf_counter() - began)
    return Seen(
        runtime=runtime.name,
        device=opened.device,
        dtype=opened.dtype,
        versions=machine.versions(),
        hardware=machine.hardware(),
        notes=notes,
        opening={name: spent for name, spent in opening.items() if spent},
        first=first,
        again=again,
        new=new,
        recorded=shapes(),
        packed=ours is not None and ours.forward_seconds() > 0,
        step_s=statistics.median(seconds) if seconds else None,
    )


if __name__ == "__main__":
    leave(main())
