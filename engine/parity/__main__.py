"""`python -m engine.parity`: take the same steps twice and say how far apart they are.

TRAJECTORY.json: a recording of an official trainer against one of our runtimes. Anything else is a
preset file: our vLLM runtime against our training loop, on the same seeds and data. Standard output is
JSON lines, a row for every step and a summary; standard error is progress.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

import msgspec

from engine.environment import prepare, prepare_device
from engine.errors import EXIT_DONE, EXIT_FAILED, UserError
from engine.gpus import mask_gpus
from engine.parity.compare import Pair, StepTaken, recorded_step, summarise, two_sided
from engine.parity.recording import kind_of, read_trajectory
from engine.preset.load import load, read_text
from engine.preset.schema import Preset
from engine.protocol.figures import ParitySummary
from engine.stdio import exit_code, leave, take_stdout

_Comparing = tuple[int, Iterator[Pair], Callable[[list[Pair], float], ParitySummary]]
"""How many steps are compared, the pairs, and what sums them up for a tolerance."""


def main() -> int:
    """The command."""
    arguments = _arguments()
    answers = os.fdopen(take_stdout(), "wb", buffering=0)
    return exit_code(lambda: _compare(arguments, answers))


def _compare(arguments: argparse.Namespace, answers: IO[bytes]) -> int:
    compare = _recorded if arguments.source.suffix == ".json" else _runtimes
    steps, both, conclude = compare(arguments)
    pairs = []
    for pair in both:
        pairs.append(pair)
        answers.write(msgspec.json.encode(pair.row(steps)) + b"\n")
    summary = conclude(pairs, arguments.tolerance)
    answers.write(msgspec.json.encode(summary) + b"\n")
    return EXIT_DONE if summary.ok else EXIT_FAILED


def _recorded(arguments: argparse.Namespace) -> _Comparing:
    """A recording against one runtime."""
    trajectory = read_trajectory(arguments.source)
    prepare()
    from engine.parity.replay import Replay
    from engine.preflight.choose import choose_device, choose_runtime
    from engine.preflight.compiler import check_compiler

    mask_gpus(arguments.device, key="--device")
    device = choose_device(arguments.device, key="--device", cpu="--device cpu")
    prepare_device(device)
    runtime, why = choose_runtime(arguments.runtime, device)
    if runtime == "vllm":
        check_compiler(device)
    _say(f"{arguments.source}: {trajectory.source}\n{why}")
    if runtime == "vllm":
        from engine.parity.vllm import open_vllm as open_trainer
    else:
        from engine.parity.training_loop import open_training_loop as open_trainer
    replay = Replay(trajectory, open_trainer(arguments.source, trajectory, device))
    kind = kind_of(trajectory.method)
    count = min(arguments.steps or len(trajectory.steps), len(trajectory.steps))
    conclude = partial(
        summarise,
        runtime=runtime,
        reference=trajectory.source,
        family=trajectory.method.family,
        scope=trajectory.method.scope,
        objective=trajectory.objective,
    )
    pairs = (Pair(step, replay.take(step), recorded_step(trajectory.steps[step], kind)) for step in range(count))
    return count, pairs, conclude


def _runtimes(arguments: argparse.Namespace) -> _Comparing:
    """Our two runtimes against each other."""
    wanted = load(str(arguments.source), read_text(arguments.source), arguments.set)
    if arguments.runtime == "training-loop":
        raise UserError("--runtime training-loop: a preset is taken by vllm and compared with the training loop")
    prepare()
    mask_gpus(wanted.model.device)
    ours, theirs = (_side(wanted, runtime) for runtime in ("vllm", "training-loop"))
    # Past one fold, if nothing else is asked for.
    count = min(arguments.steps or wanted.method.interval + 20, wanted.run.steps)
    conclude = partial(summarise, runtime="vllm", reference="training-loop")
    return count, (Pair(step, ours(step), theirs(step)) for step in range(count)), conclude


def _side(wanted: Preset, runtime: str) -> Callable[[int], StepTaken]:
    """Opens a preset on one runtime; returns what takes its steps."""
    import time

    from engine.control.clip import History
    from engine.optimizer import Optimizer
    from engine.preflight.open import open_run
    from engine.tasks.batches import Batches

    _say(f"opening {runtime}")
    chosen = wanted.model_copy(update={"model": wanted.model.model_copy(update={"runtime": runtime})})
    opened = open_run(chosen, lambda name, progress, detail: None, lambda level, text: _say(f"  {text}"))
    batches = Batches.of(opened.task.train, wanted)
    optimizer, history = Optimizer(wanted.method, wanted.run.steps, opened.task.objective, wanted.run.seed), History()

    def take(step: int) -> StepTaken:
        started = time.perf_counter()
        here, upcoming = map(batches.at, (step, step + 1))
        bound = history.bound(wanted.method.clip)
        result = optimizer.step(opened.runtime, step, here, upcoming, bound=bound)
        history.add(optimizer.gradients_of(result))
        seconds = time.perf_counter() - started
        return two_sided(result.loss_plus, result.loss_minus, result.projected_grad, seconds)

    return take


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine.parity")
    parser.add_argument("source", type=Path)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    return parser.parse_args()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    leave(main())
