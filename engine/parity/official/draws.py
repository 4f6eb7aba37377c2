"""Numbers as the official trainers draw them, and probes as they take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from engine.parity.recording import RecordedExample
from engine.parity.weights import Directions, Weights

_NOT_DECAYED = ("bias", "layer_norm", "layernorm")  # in a parameter's name


def decays(name: str) -> bool:
    """Whether a parameter decays, by its name."""
    return not any(part in name for part in _NOT_DECAYED)


def reseeded(seed: int | None) -> torch.Generator:
    """What a pass draws from: on the CPU, the same as after `torch.manual_seed`."""
    assert seed is not None  # recordings are checked
    return torch.Generator().manual_seed(seed)


def normals(weights: Weights, seed: int | None) -> Iterator[tuple[str, torch.Tensor]]:
    """One pass of directions of the parameters' own shapes, N(0, 1)."""
    generator = reseeded(seed)
    for name, shape in weights.shapes:
        yield name, torch.randn(shape, generator=generator, dtype=weights.dtype)


def probe_both_sides(
    weights: Weights, directions: Callable[[], Directions], eps: float, examples: Sequence[RecordedExample]
) -> tuple[float, float, float]:
    """Losses at W + eps Z and W - eps Z, and (plus - minus) / (2 eps).

    In place: +eps, -2 eps, +eps, whose rounding stays in the weights.
    """
    weights.move(directions(), eps)
    plus = weights.loss(examples)
    weights.move(directions(), -2 * eps)
    minus = weights.loss(examples)
    weights.move(directions(), eps)
    return plus, minus, (plus - minus) / (2 * eps)
