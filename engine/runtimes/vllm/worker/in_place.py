"""vLLM's parameters under their Hugging Face names, to be moved in place.

Slots hold low-rank directions of the blocks' matrices. Whatever else is to move, a dense direction,
an embedding, a bias, is set in the weights themselves: slowly, and right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from engine.errors import UserError
from engine.runtimes.vllm.crossing import Crossing, received, sent
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

    def write(self, values: Mapping[str, torch.Tensor]) -> None:
        """Set parameters that can be read; rows that only vLLM has stay as they are."""
        wholes: dict[int, tuple[Any, torch.Tensor]] = {}  # weights of layers, which are packed but once
        for name, value in values.items():
            parent, _, kind = name.rpartition(".")
            if kind == "weight" and (piece := self._slices.get(parent)) is not None:
                layer = piece.layer.base_layer
                _, whole = wholes.setdefault(id(layer), (layer, read_weight(layer)))
                whole[piece.rows].copy_(value)
            else:
                self.read(name)[: len(value)].copy_(value)
                self._repack(name)
        for layer, whole in wholes.values():
            write_weight(layer, whole)

    def _repack(self, name: str) -> None:
        """Make the change count where a layer outside the blocks applies another form of its weight."""
        if (parameter := self._named.get(name)) is None:
            return
        for module in self._packed:
            if getattr(module, "weight", None) is parameter:
                module.quant_method.process_weights_after_loading(module)


class ParametersWorker:
    """The verbs for parameters; part of `ZoWorker`, whose attributes these are."""

    model_runner: Any
    _zo_slices: list[Slice]

    def zo_parameter(self, name: str) -> Crossing:
        """A parameter, which may have more rows than transformers'. Raises `UserError` if there is none such."""
        return sent(self._zo_parameters().read(name))

    def zo_set_parameters(self, values: dict[str, Crossing]) -> None:
        """Set parameters in place."""
        self._zo_parameters().write({name: received(value) for name, value in values.items()})

    def _zo_parameters(self) -> Parameters:
        return Parameters(self.model_runner.get_model(), self._zo_slices)
