"""The learning rate over a run: lr_t = lr s(t), with t the step, from 0, and T the steps of the run.

warm-up   s = (t + 1) / (w + 1) for t < w, the steps of the warm-up (Goyal et al., arXiv 1706.02677); then
constant  s = 1
linear    s = (T - t) / (T - w), as in Transformers' trainers
cosine    s = (1 + cos(pi (t - w) / (T - w))) / 2 (Loshchilov and Hutter, arXiv 1608.03983, without restarts)
"""

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
