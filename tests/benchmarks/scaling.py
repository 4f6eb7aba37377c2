"""`python -m tests.benchmarks.scaling < RESULTS`: how cost grows, from the objects that `zotui bench --json` printed.

Prints Markdown: a table of every measurement beside the model of its cost, and what that model says of
machines that nobody measured here. Seconds are those of the objects: each step has its share of a fold, which the
model leaves out. The model: a step is 2 floating-point operations per parameter of the
blocks and token scored, and as many per number of the slots' factors, at one throughput for all.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Iterable

import msgspec

from engine.protocol.figures import BenchFigures, PathFigures

# Dense half-precision operations per second that an H100 reaches in large matrix products, about half of its data
# sheet's 9.9e14: assumed, not measured.
_GPU = 5e14
_GPU_LOSS = 0.8  # of the throughput left by tensor parallelism over eight GPUs: assumed, not measured
_TOKENS = 910  # of a step: SST-2, batch 16, one-token options, both signs
_VARIED = ("model", "batch_size", "length", "rank", "queries")


def main() -> None:
    """Read results, print the tables."""
    results = [msgspec.json.decode(line, type=BenchFigures) for line in sys.stdin if line.strip()]
    print("\n".join(report(results)))


def report(results: list[BenchFigures]) -> list[str]:
    """The lines of the report."""
    throughput = statistics.median(work(result) / step(result).median_s for result in results)
    head = ("model", "batch", "prompt", "rank", "queries", "tokens", "s/step", "model's s/step", "times the floor")
    lines = [
        f"Fitted throughput: {throughput:.3g} operations per second (median over {len(results)} measurements).",
        "",
        _cells(head),
        _cells(["---"] * len(head)),
    ]
    for result in results:
        cells = [result.model.rpartition("/")[2], result.batch_size, result.length or "SST-2", result.rank]
        cells += [result.queries, f"{step(result).tokens:,}", f"{step(result).median_s:.3f}"]
        cells += [f"{work(result) / throughput:.3f}", f"{result.floor_ratio:.3f}" if result.floor_ratio else ""]
        lines.append(_cells(cells))
    lines += ["", *(line for axis in _VARIED if (line := growth(results, axis))), ""]
    for name, parameters, gpus, loss in (("13B on one GPU", 12.9e9, 1, 1.0), ("70B on eight GPUs", 70e9, 8, _GPU_LOSS)):
        a_step = 2 * parameters * _TOKENS / (_GPU * gpus * loss)
        lines.append(
            f"Estimate, not a measurement: {name}, {_TOKENS} tokens a step, at an assumed {_GPU * gpus * loss:.2g} "
            f"operations per second: {a_step:.3f} s/step, {20_000 * a_step / 3600:.2f} h for 20,000 steps."
        )
    return lines


def _cells(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def step(result: BenchFigures) -> PathFigures:
    """A step of vllm, which must have been measured."""
    assert result.vllm is not None, f"{result.model}: measure it with --path vllm"
    return result.vllm


def work(result: BenchFigures) -> float:
    """Floating-point operations of a step, by the model."""
    return 2.0 * step(result).tokens * (result.scope_parameters + result.factors_per_rank * result.rank)


def growth(results: list[BenchFigures], axis: str) -> str | None:
    """How seconds grow along one axis while the others stand still: the slope of a line through the logarithms."""
    groups: dict[tuple[object, ...], list[BenchFigures]] = {}
    for result in results:
        groups.setdefault(tuple(getattr(result, other) for other in _VARIED if other != axis), []).append(result)
    group = max(groups.values(), key=lambda some: len({getattr(result, axis) for result in some}))
    points = {
        math.log(result.scope_parameters if axis == "model" else getattr(result, axis)): math.log(step(result).median_s)
        for result in group
        if getattr(result, axis) is not None
    }
    if len(points) < 3:
        return None
    slope = statistics.linear_regression(list(points), list(points.values())).slope
    return f"- {axis.replace('_', ' ')}: seconds grow as its power {slope:.2f}, over {len(points)} values"


if __name__ == "__main__":
    main()
