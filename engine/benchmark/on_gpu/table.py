"""The folder's results as Markdown, for the benchmarks file: what it ran on, what was found, what failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from engine.benchmark.on_gpu.parts import Part
from engine.benchmark.on_gpu.results import Result
from engine.benchmark.on_gpu.settings import Settings
from engine.protocol.figures import BenchFigures, PathFigures

_GiB = 2**30


def table(settings: Settings, parts: Sequence[Part], results: dict[str, Result]) -> str:
    """Every part that is over, by name in `results`; and that the others are not."""
    dates = sorted(result.at[:10] for result in results.values())
    lines = [f"## {dates[0] if dates else ''}, {settings.card}", ""]
    lines += [f"`python -m engine.benchmark.on_gpu`{' --small' if settings.small else ''}, model {settings.model}."]
    lines += [*_machine(results.get("start")), ""]
    lines += [_cells(("part", "", "found", "s")), _cells(["---"] * 4)]
    for part in parts:
        result = results.get(part.name)
        if result is None:
            lines.append(_cells((part.title, "not done", "", "")))
        else:
            lines.append(_cells((part.title, result.outcome, result.text, f"{result.seconds:.0f}")))
    lines += _steps(settings, parts, results)
    lines += _memory(parts, results)
    failed = [result for result in results.values() if result.outcome == "failed"]
    if failed:
        lines += ["", "Failed:", "", *(f"- `{result.part}`: {result.text}" for result in failed)]
    return "\n".join([*lines, ""])


def _machine(start: Result | None) -> Iterable[str]:
    """What it ran on, as far as the first part came to tell."""
    if start is None or "seen" not in start.figures:
        return ["What it ran on is not known: the part `start` did not come to tell."]
    seen = start.figures["seen"]
    hardware, versions = seen["hardware"], seen["versions"]
    cards = [finding["found"] for finding in start.figures["doctor"] if finding["name"].startswith("gpu ")]
    told = [
        *cards,
        f"{hardware['processor']}, {hardware['cpus']} processors, {hardware['memory'] / _GiB:.0f} GiB",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    return [f"{'; '.join(told)}."]


def _steps(settings: Settings, parts: Sequence[Part], results: dict[str, Result]) -> list[str]:
    """Milliseconds a step, with its share of a fold, of every shape that was timed."""
    rows = []
    for part in parts:
        result = results.get(part.name)
        for told in result.figures.get("benches", ()) if result else ():
            bench = msgspec.convert(told, BenchFigures)
            rows.append(
                (
                    *(part.title.removeprefix("a step, "), bench.dtype),
                    *(_milliseconds(path) for path in (bench.loop, bench.vllm, bench.floor)),
                    f"{bench.speedup:.2f}x" if bench.speedup else "",
                    f"{bench.floor_ratio:.3f}" if bench.floor_ratio else "",
                    f"{bench.overhead_share:.1%}" if bench.overhead_share is not None else "",
                    f"{bench.fold_s * 1000:.0f} ms" if bench.fold_s is not None else "",
                    "" if bench.recorded_shapes is None else bench.recorded_shapes,
                    *(f"{path.peak_bytes / _GiB:.1f}" if path else "" for path in (bench.loop, bench.vllm)),
                )
            )
    head = (
        *("shape", "dtype", "loop, ms a step", "vllm", "floor", "speedup", "times the floor"),
        *("outside the forward pass", "a fold", "graphs", "loop, peak GiB", "vllm"),
    )
    weights = "the demo's" if settings.small else "random"
    note = f"Steps have their share of a fold (the loop's: of a redraw); weights {weights}, prompts as long as SST-2's."
    return ["", note, "", _cells(head), _cells(["---"] * len(head)), *map(_cells, rows)] if rows else []


def _milliseconds(path: PathFigures | None) -> str:
    return f"{path.median_s * 1000:.1f}" if path else ""


def _memory(parts: Sequence[Part], results: dict[str, Result]) -> list[str]:
    """GiB, taken and estimated."""
    rows = []
    for part in parts:
        result = results.get(part.name)
        if not part.name.startswith("memory-") or result is None or "taken" not in result.figures:
            continue
        taken, estimated, alike = (result.figures[key] for key in ("taken", "estimated", "estimated alike"))
        rows.append(
            (
                part.title.removeprefix("memory, "),
                *(_gib(size, alike[what]) for what, size in taken.items()),
                ", ".join(f"{name} {_two(size)}" for name, size in estimated.items() if name != "total"),
            )
        )
    columns = ("in all", "held from the start", "by torch in the end", "CUDA and libraries")
    head = ("GiB taken / estimated", *columns, "estimated by part")
    return ["", _cells(head), _cells(["---"] * len(head)), *map(_cells, rows)] if rows else []


def _gib(taken: Any, estimated: Any) -> str:
    return f"{_two(taken)} / {_two(estimated)}"


def _two(size: Any) -> str:
    return f"{size / _GiB:.2f}"


def _cells(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"
