"""The experts of a mixture: which matrices they are, by which names, and where they lie.

transformers keeps all experts of a block in two parameters, gate_up_proj (experts, 2 x inner, hidden) and down_proj
(experts, hidden, inner), and vLLM in two of its own. The files hold a matrix each, under names that neither of the two
changed when it began to stack them. Those names are what a matrix is known by: directions, journals and checkpoints
mean the same in either runtime and in later versions, and the base model's files are asked for it as for any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from engine.models.weights import Matrix

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GATED = ({"gate_proj", "up_proj"}, {"w1", "w3"})  # what an expert has of one input, by family


@dataclass(frozen=True)
class _Names:
    """What files call the block's part that holds experts, and an expert's matrices."""

    part: str
    gate: str
    up: str
    down: str


_QWEN = _Names("mlp", "gate_proj", "up_proj", "down_proj")
_FAMILIES = {
    "mixtral": _Names("block_sparse_moe", "w1", "w3", "w2"),
    "olmoe": _QWEN,
    "qwen2_moe": _QWEN,
    "qwen3_moe": _QWEN,
}
"""By `model_type`. The experts of others stand still."""

_OF_EXPERT = re.compile(r"\.experts\.\d+\.")


def of_expert(name: str) -> bool:
    """Whether a matrix of this name is one of an expert's."""
    return _OF_EXPERT.search(name) is not None


def expert_weights(model: PreTrainedModel) -> Iterator[tuple[Matrix, torch.Tensor]]:
    """Every matrix of every expert, and its weight, (rows, cols): a part of one of the model's parameters."""
    names = _FAMILIES.get(model.config.get_text_config().model_type)
    if names is None:
        return
    for path, module in model.named_modules():
        if not path.endswith(".experts"):
            continue
        gate_up, down = module.gate_up_proj.data, module.down_proj.data
        inner = gate_up.shape[1] // 2
        parent = f"{path.removesuffix('.experts').rpartition('.')[0]}.{names.part}.experts"
        for own, stacked in ((names.gate, gate_up[:, :inner]), (names.up, gate_up[:, inner:]), (names.down, down)):
            for number, weight in enumerate(stacked):
                yield Matrix(f"{parent}.{number}.{own}.weight", *weight.shape), weight


def stacked_weights(model: PreTrainedModel) -> list[torch.Tensor]:
    """The parameters that those are parts of."""
    modules = [module for path, module in model.named_modules() if path.endswith(".experts")]
    return [weight for module in modules for weight in (module.gate_up_proj, module.down_proj)]


def dense(matrices: Iterable[Matrix]) -> list[Matrix]:
    """Those of no expert."""
    return [matrix for matrix in matrices if not of_expert(matrix.name)]
