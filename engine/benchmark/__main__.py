"""`python -m engine.benchmark`: time the paths of a step against each other, interleaved.

Two processes hold the two runtimes and take turns, so that what disturbs the machine disturbs all of
them. Standard output is one JSON object per (model, batch size); standard error is progress.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path

import msgspec

from engine.benchmark.measure import PATHS, Case, measure, say
from engine.benchmark.side import Config
from engine.environment import overruled, prepare
from engine.errors import EXIT_DONE, RunFailed, UserError
from engine.gpus import mask_gpus
from engine.methods.catalogue import METHODS
from engine.methods.sense import refuse_nonsense
from engine.models.known_shapes import SHAPES, write_shape
from engine.preset.method import Method
from engine.stdio import exit_code

_ON_GPU = ("opt-1.3b", "opt-2.7b", "opt-6.7b", "opt-13b")  # what the paper timed, at these batch sizes
_ON_GPU_BATCHES = (16, 32, 64, 128)


def main() -> int:
    """The command."""
    arguments = _arguments()
    return exit_code(lambda: _measure_all(arguments))


def _measure_all(arguments: argparse.Namespace) -> int:
    _refuse_unknown(arguments)
    prepare()
    os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))  # both sides alike
    mask_gpus(arguments.device, key="--device")
    if line := overruled():
        say(line)
    log_path = arguments.log or Path(tempfile.gettempdir()) / f"zotui-bench-{os.getpid()}.log"
    with log_path.open("w", encoding="utf-8") as log, tempfile.TemporaryDirectory() as folder:
        grid = _grid(arguments, Path(folder))
        measured = 0
        for case in grid:
            say(f"{case.model}, batch {case.vllm.batch_size}, {case.vllm.dtype}: loading")
            # vLLM's own LoRA kernels for GPUs take half precision only.
            adapts = case.vllm.device == "cpu" or case.vllm.dtype != "float32"
            paths = [path for path in arguments.path or PATHS if path != "public" or adapts]
            try:
                figures = measure(case, paths, log)
            except UserError as error:
                if len(grid) == 1:
                    raise
                say(f"left out: {error}")  # what is too large for this machine must not end the others
                continue
            except RunFailed as error:
                raise RunFailed(f"{error}; its log is {log_path}") from None
            sys.stdout.buffer.write(msgspec.json.encode(figures) + b"\n")
            sys.stdout.buffer.flush()
            measured += 1
        if not measured:
            raise UserError("none of these could be measured here")
    if not arguments.log:
        log_path.unlink()
    return EXIT_DONE


def _refuse_unknown(arguments: argparse.Namespace) -> None:
    """What is wrong on any machine, before torch is loaded. Raises `UserError`."""
    if unknown := set(arguments.path or ()) - set(PATHS):
        raise UserError(f"--path {min(unknown)}: not one of {', '.join(PATHS)}")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", arguments.device):
        raise UserError(f"--device {arguments.device}: not a device; use cpu, cuda, cuda:1, ..., or auto")
    if arguments.method not in METHODS:
        raise UserError(f"--method {arguments.method}: not one of {', '.join(METHODS)}")
    for model in arguments.model or ():
        if model not in SHAPES and not (Path(model).expanduser() / "config.json").is_file():
            raise UserError(f"--model {model}: neither a model's folder nor one of {', '.join(SHAPES)}")


def _grid(arguments: argparse.Namespace, folder: Path) -> list[Case]:
    """Every combination that was asked for, or what suits the device. Raises `UserError`."""
    from engine.preflight.choose import choose_device, describe_device

    device = choose_device(arguments.device, key="--device", cpu="--device cpu")
    dtype = arguments.dtype or ("float32" if device == "cpu" else "float16")
    models = arguments.model or (["opt-125m"] if device == "cpu" else list(_ON_GPU))
    sizes = arguments.batch_size or ([16] if device == "cpu" else list(_ON_GPU_BATCHES))
    cases = []
    method = Method(name=arguments.method)  # type: ignore[call-arg]
    if method.parts(min(sizes)) > min(sizes):
        raise UserError(f"--batch-size {min(sizes)}: {method.name} has directions for {method.shards} parts of a batch")
    if method.shards == "examples":
        try:
            refuse_nonsense(method.model_copy(update={"shards": min(sizes)}))
        except ValueError as reason:
            raise UserError(f"--batch-size {min(sizes)}: {method.name}: {reason}") from None
    for model in models:
        known = model in SHAPES
        path = write_shape(model, folder) if known else Path(model).expanduser().absolute()
        for size in sizes:
            loop = Config(
                side="loop",
                model=str(path),
                random_weights=known,
                dtype=dtype,
                device=device,
                batch_size=size,
                options=arguments.options,
                option_tokens=arguments.option_tokens,
                length=arguments.length,
                rank=arguments.rank or method.rank,
                queries=arguments.queries or method.queries,
                method=method.name,
            )
            vllm = msgspec.structs.replace(loop, side="vllm")
            cases.append(Case(model, describe_device(device), loop, vllm, arguments.rounds, arguments.interval))
    return cases


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine.benchmark")
    parser.add_argument("--model", action="append")
    parser.add_argument("--batch-size", type=int, action="append")
    parser.add_argument("--path", action="append")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--options", type=int, default=2)
    parser.add_argument("--option-tokens", type=int, default=1)
    parser.add_argument("--length", type=int)
    parser.add_argument("--log", type=Path, help="of the measuring processes; kept")
    parser.add_argument("--method", default="lozo")
    parser.add_argument("--rank", type=int)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--interval", type=int, default=50)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
