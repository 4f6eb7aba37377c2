"""Does vLLM take the steps that the conventional loop takes, on this card?"""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from engine.benchmark.on_gpu import children
from engine.benchmark.on_gpu.results import Found, verdict
from engine.benchmark.on_gpu.settings import Settings, preset
from engine.protocol.figures import AnyParity, ParityRow, ParitySummary

# Nats, of either loss of a step. In 16 bits the two round otherwise, for the loop moves its weights in place: by up to
# 0.006 in 30 steps of the demo on a CPU (AMD EPYC), where float32 differs by 8e-6.
_TOLERANCE = {"float32": 1e-4, "float16": 3e-2}


def compare(settings: Settings, folder: Path, *, dtype: str) -> Found:
    """Some steps of both, through folds."""
    sizes = settings.sizes
    wanted = preset(settings, f"model.dtype={dtype}", f"method.interval={max(2, sizes.compared // 3)}")
    with tempfile.TemporaryDirectory() as aside:
        file = Path(aside) / "on_gpu.toml"
        file.write_text(wanted.to_toml(), encoding="utf-8")
        lines = children.output(
            folder / f"parity-{dtype}.log",
            *("engine.parity", str(file), f"--steps={sizes.compared}", f"--tolerance={_TOLERANCE[dtype]}"),
            fine=(0, 1),
        )
    found = [msgspec.json.decode(line, type=AnyParity) for line in lines]
    rows = [row for row in found if isinstance(row, ParityRow)]
    (summary,) = (one for one in found if isinstance(one, ParitySummary))
    moved = len({row.loss_plus for row in rows}) > 1
    worst = "not a number" if summary.max_loss_diff is None else f"{summary.max_loss_diff:.2g} nats"
    text = (
        f"{summary.steps} steps, losses within {worst}, {summary.sign_agreement:.0%} of the gradients of the same sign"
        f"{'' if moved else '; but neither moved'}"
    )
    return verdict(summary.ok and moved, text, summary=msgspec.to_builtins(summary), rows=msgspec.to_builtins(rows))
