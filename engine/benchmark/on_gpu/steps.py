"""What a step, a fold and the bare forward pass cost at a model's shape, beside the conventional loop."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine.benchmark.on_gpu import children
from engine.benchmark.on_gpu.results import Found, Skipped, verdict
from engine.benchmark.on_gpu.settings import Settings, demo_folder
from engine.errors import UserError
from engine.models.known_shapes import SHAPES
from engine.protocol.figures import BenchFigures


def time(settings: Settings, folder: Path, *, of: str, size: int) -> Found:
    """By `engine.benchmark`, interleaved; where the loop has no room beside vLLM, one after the other.

    Raises `Skipped` where neither fits the card.
    """
    log, sides = folder / f"steps-{of}-{size}.log", folder / f"steps-{of}-{size}.sides.log"
    model = of if of in SHAPES else str(demo_folder())

    def measured(*paths: str) -> BenchFigures:
        (line,) = children.output(
            log, "engine.benchmark", f"--model={model}", f"--batch-size={size}", f"--rounds={settings.sizes.rounds}",
            f"--dtype={settings.dtype}", f"--device={settings.device}", f"--log={sides}",
            *(f"--path={path}" for path in paths),
        )  # fmt: skip
        return msgspec.json.decode(line, type=BenchFigures)

    try:
        found, refused = [measured("vllm", "floor", "loop")], ""
    except UserError as error:
        found, refused = [], str(error)
        for paths in (("vllm", "floor"), ("loop",)):
            try:
                found.append(measured(*paths))
            except UserError as why:
                refused = str(why)
        if not found:
            raise Skipped(refused) from None
    return verdict(True, _told(found, refused), benches=msgspec.to_builtins(found), refused=refused)


def _told(found: list[BenchFigures], refused: str) -> str:
    texts = []
    for bench in found:
        for name, path in (("loop", bench.loop), ("vllm", bench.vllm), ("floor", bench.floor)):
            if path:
                texts.append(f"{name} {path.median_s * 1000:.1f} ms")
        if bench.fold_s is not None:
            texts.append(f"fold {bench.fold_s * 1000:.0f} ms once in {bench.interval} steps")
        if bench.speedup:
            texts.append(f"{bench.speedup:.2f}x")
        if bench.floor_ratio:
            texts.append(f"{bench.floor_ratio:.3f} times the floor")
    if refused:
        texts.append("apart" if len(found) > 1 else f"the rest left out: {refused}")
    return ", ".join(texts)
