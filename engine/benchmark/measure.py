"""The paths of a step timed against each other, in turns."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

from engine.benchmark.side import Config, encode
from engine.errors import RunFailed, UserError

PATHS = ("loop", "vllm", "floor", "public")


class _Side:
    """One of the two measuring processes."""

    def __init__(self, config: Config, log: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "engine.benchmark.side", encode(config)],
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
    found: dict[str, Any] = {path: _summary(taken[path], peaks[path]) if path in paths else None for path in PATHS}

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
    taken: dict[str, list[dict[str, Any]]] = {path: [] for path in (*PATHS, "fold")}
    step = 1
    for path in paths:
        say(f"warm-up: {path}")
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
        say(f"round {number + 1}/{rounds}: {latest}")
    return taken, {path: of_path[path].ask(path, step, peak=True)["peak_bytes"] for path in paths}


def _summary(taken: list[dict[str, Any]], peak: int) -> dict[str, Any]:
    seconds = [one["seconds"] for one in taken]
    return {
        "median_s": statistics.median(seconds),
        "min_s": min(seconds),
        "max_s": max(seconds),
        "tokens": taken[0]["tokens"],
        "peak_bytes": peak,
    }


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
