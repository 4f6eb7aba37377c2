"""Which share of a model does not move, and what it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from engine.models.weights import Matrix

_EXPERTS = re.compile(r"(^|\.)experts(\.|$)")
_TOLD = 0.005  # a share that is told


@dataclass(frozen=True)
class Still:
    """Parameters that stay as they are, by what they are, the largest part first; and all parameters."""

    parts: dict[str, int]
    whole: int

    def __str__(self) -> str:
        """For the log and the preflight: `66% of the parameters move; not: embeddings and output head (33%)`."""
        moving = 1 - sum(self.parts.values()) / self.whole
        named = [f"{name} ({size / self.whole:.0%})" for name, size in self.parts.items() if size >= _TOLD * self.whole]
        return f"{moving:.0%} of the parameters move" + (f"; not: {', '.join(named)}" if named else "")

    @property
    def experts(self) -> int:
        """Parameters of experts of a mixture that stay."""
        return self.parts.get("experts", 0)


def still_of(model: PreTrainedModel, matrices: Sequence[Matrix]) -> Still:
    """What of `model` is not among `matrices`; of experts that lie in one tensor, each may be a matrix of its own."""
    parameters = dict(model.named_parameters())
    moving = {matrix.name: matrix.rows * matrix.cols for matrix in matrices}
    ends = {
        id(layer.weight) for layer in (model.get_input_embeddings(), model.get_output_embeddings()) if layer is not None
    }
    parts: dict[str, int] = {}
    for name, parameter in parameters.items():
        if name not in moving:
            if id(parameter) in ends:
                what = "embeddings and output head"
            elif _EXPERTS.search(name) and parameter.dim() > 1:
                what = "experts"
            elif parameter.dim() < 2:
                what = "norms and biases"
            else:
                what = "other layers"
            parts[what] = parts.get(what, 0) + parameter.numel()
    pieces = sum(size for name, size in moving.items() if name not in parameters)
    if pieces and "experts" in parts:
        parts["experts"] -= pieces
    kept = {name: size for name, size in sorted(parts.items(), key=lambda part: -part[1]) if size > 0}
    return Still(kept, sum(parameter.numel() for parameter in parameters.values()))
