"""`python -m engine.benchmark`: time the paths of a step against each other, interleaved.

Two processes hold the two runtimes and take turns, so that what disturbs the machine disturbs all of
them. Standard output is one JSON object per (model, batch size); standard error is progress.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from engine import environment
from engine.benchmark.paths import Config, encode
from engine.command import exit_code
from engine.errors import EXIT_DONE, RunFailed, UserError
from engine.shapes import SHAPES, write_shape

_PATHS = ("loop", "vllm", "floor", "public")
_ON_GPU = ("opt-1.3b", "opt-2.7b", "opt-6.7b", "opt-13b")  # what the paper timed, at these batch sizes
_ON_GPU_BATCHES = (16, 32, 64, 128)


class _Side:
    """One of the two measuring processes."""

    def __init__(self, config: Config, log: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "engine.benchmark.paths", encode(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )

    def ask(self, path: str, step: int, *, peak: bool = False) -> dict[str, Any]:
        """Have one step taken. Raises `RunFailed` if the process is gone."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"path": path, "step": step, "peak": peak}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its last words, if any, are read below
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """The next answer. Raises `UserError` for what the user can mend, and `RunFailed`."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RunFailed("a measuring process ended")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise UserError(found["error"])
        return found

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def measure(loop: Config, vllm: Config, paths: list[str], rounds: int, log: Any) -> dict[str, Any]:
    """Interleave the paths; returns the object that `zotui bench --json` prints, less the labels."""
    sides: dict[str, _Side] = {}
    try:
        ready = {}
        # One after the other: each checks whether what is left of the memory will do.
        for name, config in (("vllm", vllm), ("loop", loop)):
            if set(paths) & ({"loop"} if name == "loop" else {"vllm", "floor", "public"}):
                sides[name] = _Side(config, log)
                ready[name] = sides[name].answer()
        if len({one["threads"] for one in ready.values()}) > 1:
            raise RunFailed(f"the two sides had different numbers of threads: {ready}")
        taken, peaks = _take_turns(sides, paths, rounds)
    finally:
        for side in sides.values():
            side.close()
    found: dict[str, Any] = {path: _summary(taken[path], peaks[path]) if path in paths else None for path in _PATHS}

    found |= dict.fromkeys(("speedup", "floor_ratio", "overhead_share", "fold_s", "recorded_shapes", "loss_difference"))
    if {"loop", "vllm"} <= set(paths):
        found["speedup"] = found["loop"]["median_s"] / found["vllm"]["median_s"]
    if {"vllm", "floor"} <= set(paths):
        # Of steps taken one right after the other, which whatever else the machine does slows alike.
        pairs = zip(taken["vllm"], taken["floor"], strict=True)
        found["floor_ratio"] = statistics.median(one["seconds"] / other["seconds"] for one, other in pairs)
    if "vllm" in paths:
        found["overhead_share"] = statistics.median(1 - t["forward_seconds"] / t["seconds"] for t in taken["vllm"])
        found["fold_s"] = statistics.median(t["seconds"] for t in taken["fold"])
        found["recorded_shapes"] = taken["vllm"][-1]["recorded"]
    if {"loop", "vllm"} <= set(paths) and not vllm.random_weights:
        # With weights from files, the first step of both sides is the same step.
        found["loss_difference"] = abs(taken["first vllm"][0]["loss"] - taken["first loop"][0]["loss"])
    if "loop" in paths:
        found["loop"]["padded_tokens"] = taken["loop"][0]["padded_tokens"]
    return found | {
        key: next(iter(ready.values()))[key]
        for key in ("threads", "parameters", "scope_parameters", "factors_per_rank", "hardware", "versions")
    }


def _take_turns(
    sides: dict[str, _Side], paths: list[str], rounds: int
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, int]]:
    """What every path answered, in order, and its peak memory."""
    of_path = {path: sides["loop" if path == "loop" else "vllm"] for path in paths}
    taken: dict[str, list[dict[str, Any]]] = {path: [] for path in (*_PATHS, "fold")}
    step = 1
    for path in paths:
        _say(f"warm-up: {path}")
        taken[f"first {path}"] = [of_path[path].ask(path, step)]
    # vllm once more, to find what it made ready, and the fold, whose first draws memory.
    again = [path for path in ("vllm", "fold") if "vllm" in paths]
    for path in again:
        sides["vllm"].ask(path, step)
    for number in range(rounds):
        # vllm and the floor are the quickest, and what lies between them is small: more turns.
        order: list[str] = [path for path in ("loop", *("vllm", "floor") * 3) if path in paths]
        if "public" in paths and number in (0, rounds // 2, rounds - 1):  # slow, and the least interesting
            order.append("public")
        for path in order:
            step += 1
            taken[path].append(of_path[path].ask(path, step))
        if again:
            taken["fold"].append(sides["vllm"].ask("fold", step))
        latest = ", ".join(f"{path} {taken[path][-1]['seconds']:.3f} s" for path in paths)
        _say(f"round {number + 1}/{rounds}: {latest}")
    return taken, {path: of_path[path].ask(path, step, peak=True)["peak_bytes"] for path in paths}


def main() -> int:
    """The command."""
    arguments = _arguments()
    return exit_code(lambda: _measure_all(arguments))


def _measure_all(arguments: argparse.Namespace) -> int:
    _refuse_unknown(arguments)
    environment.prepare()
    os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))  # both sides alike
    environment.mask_gpus(arguments.device)
    log_path = Path(tempfile.gettempdir()) / f"zotui-bench-{os.getpid()}.log"
    with log_path.open("w") as log, tempfile.TemporaryDirectory() as folder:
        grid = _grid(arguments, Path(folder))
        measured = 0
        for labels, loop, vllm in grid:
            _say(f"{labels['model']}, batch {labels['batch_size']}, {labels['dtype']}: loading")
            # vLLM's own LoRA kernels for GPUs take half precision only.
            adapts = vllm.device == "cpu" or vllm.dtype != "float32"
            paths = [path for path in arguments.path or _PATHS if path != "public" or adapts]
            try:
                found = measure(loop, vllm, paths, arguments.rounds, log)
            except UserError as error:
                if len(grid) == 1:
                    raise
                _say(f"left out: {error}")  # what is too large for this machine must not end the others
                continue
            except RunFailed as error:
                raise RunFailed(f"{error}; its log is {log_path}") from None
            print(json.dumps(labels | found), flush=True)
            measured += 1
        if not measured:
            raise UserError("none of these could be measured here")
    log_path.unlink()
    return EXIT_DONE


def _refuse_unknown(arguments: argparse.Namespace) -> None:
    """What is wrong on any machine, before torch is loaded. Raises `UserError`."""
    if unknown := set(arguments.path or ()) - set(_PATHS):
        raise UserError(f"--path {min(unknown)}: not one of {', '.join(_PATHS)}")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", arguments.device):
        raise UserError(f"--device {arguments.device}: not a device; use cpu, cuda, cuda:1, ..., or auto")
    for model in arguments.model or ():
        if model not in SHAPES and not (Path(model).expanduser() / "config.json").is_file():
            raise UserError(f"--model {model}: neither a model's folder nor one of {', '.join(SHAPES)}")


def _grid(arguments: argparse.Namespace, folder: Path) -> list[tuple[dict[str, Any], Config, Config]]:
    """Every combination that was asked for, or what suits the device. Raises `UserError`."""
    from engine import preflight

    try:
        device = preflight.choose_device(arguments.device)
    except UserError:
        raise UserError(f"--device {arguments.device}: torch sees no such GPU here; use --device cpu") from None
    dtype = arguments.dtype or ("float32" if device == "cpu" else "float16")
    models = arguments.model or (["opt-125m"] if device == "cpu" else list(_ON_GPU))
    sizes = arguments.batch_size or ([16] if device == "cpu" else list(_ON_GPU_BATCHES))
    found = []
    for model in models:
        known = model in SHAPES
        path = write_shape(model, folder) if known else Path(model).expanduser().absolute()
        for size in sizes:
            common = {
                "dtype": dtype,
                "batch_size": size,
                "options": arguments.options,
                "option_tokens": arguments.option_tokens,
                "length": arguments.length,
                "rank": arguments.rank,
                "queries": arguments.queries,
            }
            sides = [
                Config(side=side, model=str(path), random_weights=known, device=device, **common)
                for side in ("loop", "vllm")
            ]
            labels = {"model": model, "device": preflight.describe_device(device), "rounds": arguments.rounds} | common
            found.append((labels, *sides))
    return found  # type: ignore[return-value]


def _summary(taken: list[dict[str, Any]], peak: int) -> dict[str, Any]:
    seconds = [one["seconds"] for one in taken]
    return {
        "median_s": statistics.median(seconds),
        "min_s": min(seconds),
        "max_s": max(seconds),
        "tokens": taken[0]["tokens"],
        "peak_bytes": peak,
    }


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
    parser.add_argument("--rank", type=int, default=2)
    parser.add_argument("--queries", type=int, default=1)
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
