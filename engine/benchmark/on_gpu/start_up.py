"""Does it start, and does its fast path agree with vLLM's own? What is installed, on what."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import msgspec

from engine.benchmark.on_gpu import children
from engine.benchmark.on_gpu.probes import Seen
from engine.benchmark.on_gpu.results import Found, verdict
from engine.benchmark.on_gpu.settings import Settings, preset


def start(settings: Settings, folder: Path) -> Found:
    """What doctor says, then a start with its self-check and some steps: they must go the packed way."""
    log = folder / "start.log"
    doctor = [json.loads(line) for line in children.output(log, "engine.doctor", fine=(0, 1))]
    seen = look(settings, log, probed=1, steps=settings.sizes.steps)
    check = next((note for note in seen.notes if note.startswith("packed scoring")), "no self-check was made")
    passed = seen.packed and "agrees" in check
    taken = f"{sum(seen.opening.values()):.0f} s to the first step"
    step = "" if seen.step_s is None else f", {seen.step_s * 1000:.1f} ms a step"
    text = f"{seen.runtime} on {seen.device}, {seen.dtype}: {check}; {taken}{step}"
    return verdict(passed, text, doctor=doctor, seen=msgspec.to_builtins(seen))


def look(settings: Settings, log: Path, *changes: str, probed: int, steps: int) -> Seen:
    """The settings' preset, with these changes, seen from within. Raises `UserError` and `RunFailed`."""
    with tempfile.TemporaryDirectory() as aside:
        file = Path(aside) / "on_gpu.toml"
        file.write_text(preset(settings, *changes).to_toml(), encoding="utf-8")
        (answer,) = children.output(log, "engine.benchmark.on_gpu.probes", str(file), str(probed), str(steps))
    return msgspec.json.decode(answer, type=Seen)
