"""Which of transformers' matrices vLLM's wrapped layers hold, and where."""

from __future__ import annotations

from typing import Any

from engine.models.names import Names
from engine.models.weights import Matrix
from engine.runtimes.vllm.support import REMEDY, CannotAdapt
from engine.runtimes.vllm.worker.factors import Slice


def find_slices(manager: Any, known: Names) -> list[Slice]:
    """Every wrapped linear layer, cut into the Hugging Face matrices that it packs; `known` has their names.

    Raises `CannotAdapt` for a layer that vLLM cuts in another way.
    """
    slices = []
    for name, layer in manager.modules.items():
        if not hasattr(layer, "n_slices") or "lm_head" in name:
            continue
        parent, _, last = name.rpartition(".")
        sizes = [b.shape[2] for b in layer.lora_b_stacked]
        cols = layer.lora_a_stacked[0].shape[3]
        if (whole := known.find(f"{name}.weight")) is not None:  # one matrix, into how many slices vLLM may cut it
            slices.append(Slice(Matrix(whole, sum(sizes), cols), layer, 0, 0, len(sizes)))
            continue
        names = manager.packed_modules_mapping.get(last, [last])
        if len(names) != len(sizes):
            raise CannotAdapt(
                f"model.path: vLLM cuts {name} into {len(sizes)} matrices, not into {', '.join(names)}{REMEDY}"
            )
        for index, own in enumerate(names):
            full = f"{parent}.{own}.weight"
            matrix = Matrix(known.find(full) or full, sizes[index], cols)
            slices.append(Slice(matrix, layer, index, sum(sizes[:index])))
    return slices
