"""The learning rate over a run."""

from __future__ import annotations

import math

from engine.preset.method import Method


def rate(method: Method, step: int, steps: int) -> float:
    """Learning rate of `step`, of `steps` in all.

    It rises over the first `warm_up` of the steps, (step + 1) / (those + 1) of it at first; linear then goes from lr
    down to lr / steps at the last step, cosine from lr to nearly 0.
    """
    warm = round(method.warm_up * steps)
    if step < warm:
        return method.lr * (step + 1) / (warm + 1)
    if method.schedule == "constant":
        return method.lr
    left, all_of_them = steps - step, steps - warm
    if method.schedule == "linear":
        return method.lr * left / all_of_them
    return method.lr * (1 + math.cos(math.pi * (step - warm) / all_of_them)) / 2
