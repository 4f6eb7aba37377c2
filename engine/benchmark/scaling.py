"""`python -m engine.benchmark.scaling < RESULTS`: how cost grows, from the objects that `zotui bench --json` printed.

Prints Markdown: a table of every measurement beside the model of its cost, and what that model says of
machines that nobody measured here. The model: a step is 2 floating-point operations per parameter of the
blocks and token scored, and as many per number of the slots' factors, at one throughput for all.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Iterable
from typing import Any

# Dense half-precision operations per second that an H100 reaches in large matrix products, about half of its data
# sheet's 9.9e14: assumed, not measured.
_GPU = 5e14
_GPU_LOSS = 0.8  # of the throughput left by tensor parallelism over eight GPUs: assumed, not measured
_TOKENS = 910  # of a step: SST-2, batch 16, one-token options, both signs
_VARIED = ("model", "batch_size", "length", "rank", "queries")


def main() -> None:
    """Read results, print the tables."""
    results = [json.loads(line) for line in sys.stdin if line.strip()]
    print("\n".join(report(results)))


def report(results: list[dict[str, Any]]) -> list[str]:
    """The lines of the report on objects of `zotui bench --json`."""
    throughput = statistics.median(work(found) / found["vllm"]["median_s"] for found in results)
    head = ("model", "batch", "prompt", "rank", "queries", "tokens", "s/step", "model's s/step", "times the floor")
    lines = [
        f"Fitted throughput: {throughput:.3g} operations per second (median over {len(results)} measurements).",
        "",
        _cells(head),
        _cells(["---"] * len(head)),
    ]
    for found in results:
        cells = [found["model"].rpartition("/")[2], found["batch_size"], found["length"] or "SST-2", found["rank"]]
        cells += [found["queries"], f"{found['vllm']['tokens']:,}", f"{found['vllm']['median_s']:.3f}"]
        cells += [f"{work(found) / throughput:.3f}", f"{found['floor_ratio']:.3f}" if found["floor_ratio"] else ""]
        lines.append(_cells(cells))
    lines += ["", *(line for axis in _VARIED if (line := growth(results, axis))), ""]
    for name, parameters, gpus, loss in (("13B on one GPU", 12.9e9, 1, 1.0), ("70B on eight GPUs", 70e9, 8, _GPU_LOSS)):
        seconds = 2 * parameters * _TOKENS / (_GPU * gpus * loss)
        lines.append(
            f"Estimate, not a measurement: {name}, {_TOKENS} tokens a step, at an assumed {_GPU * gpus * loss:.2g} "
            f"operations per second: {seconds:.3f} s/step, {20_000 * seconds / 3600:.2f} h for 20,000 steps."
        )
    return lines


def _cells(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def work(found: dict[str, Any]) -> float:
    """Floating-point operations of a step, by the model."""
    moved = found["scope_parameters"] + found["factors_per_rank"] * found["rank"]
    return 2.0 * found["vllm"]["tokens"] * moved


def growth(results: list[dict[str, Any]], axis: str) -> str | None:
    """How seconds grow along one axis while the others stand still: the slope of a line through the logarithms."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for found in results:
        groups.setdefault(tuple(found[other] for other in _VARIED if other != axis), []).append(found)
    group = max(groups.values(), key=lambda some: len({found[axis] for found in some}))
    points = {
        math.log(found["scope_parameters"] if axis == "model" else found[axis]): math.log(found["vllm"]["median_s"])
        for found in group
        if found[axis] is not None
    }
    if len(points) < 3:
        return None
    slope = statistics.linear_regression(list(points), list(points.values())).slope
    return f"- {axis.replace('_', ' ')}: seconds grow as its power {slope:.2f}, over {len(points)} values"


if __name__ == "__main__":
    main()
