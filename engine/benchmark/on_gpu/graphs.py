"""Are passes recorded as CUDA graphs, and are replays what they replay?"""

from __future__ import annotations

from pathlib import Path

from engine.benchmark.on_gpu.results import Found, verdict
from engine.benchmark.on_gpu.settings import Settings
from engine.benchmark.on_gpu.start_up import look

# Nats, as for parity. Without graphs a pass is not padded: other shapes of products, which round otherwise.
_TOLERANCE = {"float32": 1e-4, "float16": 1e-2}


def compare(settings: Settings, folder: Path) -> Found:
    """Probe the same batches by replay and the ordinary way, within one process and in another without graphs."""
    log, probed = folder / "graphs.log", settings.sizes.probed
    with_graphs = look(settings, log, probed=probed, steps=settings.sizes.steps)
    without = look(settings, log, "model.cuda_graphs=off", probed=probed, steps=settings.sizes.steps)
    differ = sum(a != b for a, b in zip(with_graphs.first, with_graphs.again, strict=True))
    pairs = zip(with_graphs.first, without.first, strict=True)
    worst = max(abs(a - b) for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True))
    tolerance = _TOLERANCE[settings.dtype]
    passed = not differ and worst <= tolerance and (settings.device == "cpu" or with_graphs.recorded > 0)
    same = "bit for bit as before" if not differ else f"DIFFERENT in {differ} batches"
    speeds = [seen.step_s for seen in (with_graphs, without)]
    times = ", ".join("?" if one is None else f"{one * 1000:.1f}" for one in speeds)
    none = " (a CPU records none)" if settings.device == "cpu" else ""
    text = (
        f"{with_graphs.recorded} shapes recorded{none}; {probed} batches "
        f"probed again, {with_graphs.new} of them first without a replay: {same}; without graphs and padding "
        f"within {worst:.2g} nats; ms a step with and without: {times}"
    )
    return verdict(
        passed, text,
        recorded=with_graphs.recorded, probed=probed, new=with_graphs.new, different=differ, worst_nats=worst,
        step_s=speeds[0], eager_step_s=speeds[1],
    )  # fmt: skip
