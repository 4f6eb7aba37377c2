"""vLLM's parameters under their Hugging Face names, to be moved in place.

Slots hold low-rank directions of the blocks' matrices. Whatever else is to move, a dense direction,
an embedding, a bias, is added to the weights themselves: slowly, and right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from engine.errors import UserError
from engine.runtimes.vllm.worker.factors import Slice
from engine.runtimes.vllm.worker.linear import read_weight, write_weight


class Parameters:
    """The parameters of vLLM's model as transformers calls them."""

    def __init__(self, model: Any, slices: Sequence[Slice]) -> None:
        self._slices = {piece.matrix.name.removesuffix(".weight"): piece for piece in slices}
        self._named = {name.replace(".base_layer.", "."): parameter for name, parameter in model.named_parameters()}
        # Layers that keep their weight in another form as well, to be made anew after a change.
        self._packed = [module for module in model.modules() if hasattr(module, "cpu_linear")]

    def read(self, name: str) -> torch.Tensor:
        """The parameter's values: a live tensor, which may have more rows than transformers' (a padded vocabulary).

        Raises `UserError` if there is none of this name.
        """
        parent, _, kind = name.rpartition(".")
        if (piece := self._slices.get(parent)) is not None:
            layer = piece.layer.base_layer
            return read_weight(layer)[piece.rows] if kind == "weight" else layer.bias.data[piece.rows]
        if name not in self._named:
            raise UserError(f"{name}: vLLM's model has no such parameter")
        return self._named[name].data

    def add(self, name: str, change: torch.Tensor) -> None:
        """parameter <- parameter + change, in the parameter's shape. Raises `UserError` if there is none such."""
        values = self.read(name)
        if values.shape[1:] != change.shape[1:] or len(values) < len(change):
            raise UserError(f"{name}: has the shape {tuple(values.shape)} in vLLM's model, not {tuple(change.shape)}")
        values[: len(change)].add_(change.to(values))
        self._repack(name, values)

    def _repack(self, name: str, values: torch.Tensor) -> None:
        """Make the change count where a layer applies another form of its weight."""
        parent, _, kind = name.rpartition(".")
        if (piece := self._slices.get(parent)) is not None:
            if kind == "weight":
                layer = piece.layer.base_layer
                whole = read_weight(layer)
                whole[piece.rows].copy_(values)
                write_weight(layer, whole)
            return
        parameter = self._named[name]
        for module in self._packed:
            if getattr(module, "weight", None) is parameter:
                module.quant_method.process_weights_after_loading(module)
