"""A LoRA adapter in the format of peft, which peft and vLLM load onto the base model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.errors import UserError
from engine.export.progress import Progress
from engine.export.terms import Terms
from engine.export.thin import side_by_side, truncated
from engine.models.weights import Matrix

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True)
class Adapter:
    """Its factors, float32, by the names that a checkpoint has them by; what they are multiplied by is alpha / rank.

    kept: the share of the squared size of what was learned that is in them.
    """

    tensors: Mapping[str, torch.Tensor]
    matrices: Sequence[Matrix]
    rank: int
    alpha: float
    kept: float = 1.0

    def factors(self, matrix: Matrix) -> tuple[torch.Tensor, torch.Tensor]:
        """B, (rows, rank), times alpha / rank, and A, (rank, cols), of a matrix."""
        name_a, name_b = _names(matrix)
        return self.tensors[name_b] * (self.alpha / self.rank), self.tensors[name_a]


def of_sum(terms: Terms, rank: int | None) -> Adapter:
    """All terms, or what of this rank is nearest to them. Raises `UserError` if there are none."""
    tensors: dict[str, torch.Tensor] = {}
    kept: list[float] = []
    whole: list[float] = []
    sums = list(terms.sums.values())
    progress = Progress("factorising: matrix", len(sums))
    for count, of in enumerate(sums, 1):
        name_a, name_b = _names(of.matrix)
        if rank is None:
            tensors[name_b], tensors[name_a] = side_by_side(of)
        else:
            tensors[name_b], tensors[name_a], part, all_of_it = truncated(of, rank)
            kept.append(part)
            whole.append(all_of_it)
        progress.at(count)
    if not sums:
        raise UserError("--format adapter: nothing was learned up to there: every update was 0; use a later --step")
    own = rank or sums[0].rank
    share = math.fsum(kept) / math.fsum(whole) if rank is not None and math.fsum(whole) else 1.0
    return Adapter(tensors, [of.matrix for of in sums], own, float(own), share)


def write_adapter(folder: Path, found: Adapter, base: str, revision: str | None) -> None:
    """Write its two files into `folder`. `base`: the model that it is for, by its path or hub id, and `revision`."""
    from safetensors.torch import save_file

    tensors = {f"base_model.model.{name}": tensor.contiguous() for name, tensor in found.tensors.items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "revision": revision,
        "inference_mode": True,
        "r": found.rank,
        "lora_alpha": found.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": any(matrix.transposed for matrix in found.matrices),
        "target_modules": sorted(_stem(matrix) for matrix in found.matrices),
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _stem(matrix: Matrix) -> str:
    return matrix.name.removesuffix(".weight")


def _names(matrix: Matrix) -> tuple[str, str]:
    """A's name and B's."""
    return f"{_stem(matrix)}.lora_A.weight", f"{_stem(matrix)}.lora_B.weight"
