"""A learning rate to begin with, by the method and the model's size. A guess: `zotui tune` measures one.

What a method brings is for OPT-125M. LoZO's authors take 1e-6 up to some size and 1e-7 for OPT-13B, as our presets do
from OPT-1.3B on; the demo's small model takes a thousand times as much. Where a ratchet halves what is too large, the
guess is rather large: SmolLM2-135M took 6e-4 of `fast`, a model of 7M parameters 1.5e-3 (engine/BENCHMARKS.md).
"""

from __future__ import annotations

from engine.preset.method import Method

_LARGE, _SMALL = 1e9, 2e7  # parameters


def rate_for(method: Method, parameters: int | None) -> tuple[float, str]:
    """A rate for a model of that many parameters (None: nobody knows), and why."""
    brought = f"what {method.name} brings"
    if method.direction == "adapter" or method.weights != "plain" or method.update not in ("sgd", "momentum", "cone"):
        return method.lr, f"{brought}; its steps do not depend on the model's size"
    if parameters is None:
        return method.lr, f"{brought}, for models below 1B parameters; this one's size is not known"
    size = f"this model has {_short(parameters)} parameters"
    if parameters >= _LARGE:
        return _rounded(method.lr / 10), f"{size}: a tenth of {brought}, as from 1B on"
    if parameters < _SMALL:
        return _rounded(method.lr * 1000), f"{size}: a thousand times {brought}, as the demo's does"
    if method.ratchet:
        return _rounded(method.lr * 10), f"{size}: ten times {brought}, since the ratchet halves what is too large"
    return method.lr, f"{brought}: {size}"


def _rounded(rate: float) -> float:
    return float(f"{rate:.3g}")


def _short(number: int) -> str:
    for size, unit in ((1e9, "B"), (1e6, "M")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:,}"
