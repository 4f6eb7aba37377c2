"""vLLM's parameters under their Hugging Face names, to be moved in place.

Slots hold low-rank directions of the blocks' matrices. Whatever else is to move, a dense direction,
an embedding, a bias, is set in the weights themselves: slowly, and right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from engine.errors import UserError
from engine.models.names import Names
from engine.runtimes.vllm.crossing import Crossing, received, sent
from engine.runtimes.vllm.worker.factors import Slice
from engine.runtimes.vllm.worker.linear import read_weight, write_weight


class Place:
    """A tensor of vLLM's model in which one parameter of transformers', or several, lie.

    Two places are equal if they are the same tensor's.
    """

    def __init__(self, key: tuple[int, str], layer: Any, parameter: torch.nn.Parameter | None, packed: Sequence[Any]):
        """`layer`: whose weight it is, or else `parameter`; `packed`: modules that apply another form of that."""
        self._key, self._layer, self._parameter, self._packed = key, layer, parameter, packed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def is_live(self) -> bool:
        """Whether `values` are what the model applies, as long as they are only changed in place."""
        return self._layer is None or self._layer.weight.numel() > 0

    def values(self) -> torch.Tensor:
        """All of it, to be changed in place and then `applied`."""
        if self._layer is not None:
            return read_weight(self._layer)
        assert self._parameter is not None
        return self._parameter.data

    def apply(self, values: torch.Tensor) -> None:
        """Make these, which are `values` or what they were copied from, the ones that the model applies."""
        if self._layer is not None:
            write_weight(self._layer, values)
            return
        assert self._parameter is not None
        if self._parameter.data.data_ptr() != values.data_ptr():
            self._parameter.data.copy_(values)
        for module in self._packed:
            module.quant_method.process_weights_after_loading(module)


class Parameters:
    """The parameters of vLLM's model as transformers calls them."""

    def __init__(self, model: Any, slices: Sequence[Slice]) -> None:
        self._slices = {piece.matrix.name.removesuffix(".weight"): piece for piece in slices}
        self._named = {name.replace(".base_layer.", "."): parameter for name, parameter in model.named_parameters()}
        self._names = Names(self._named)
        modules = {f"{name}.weight".replace(".base_layer.", "."): module for name, module in model.named_modules()}
        # Layers that keep their weight in another form alone.
        self._emptied = {n: modules[n] for n, one in self._named.items() if n in modules and not one.numel()}
        # Layers that keep their weight in another form as well, to be made anew after a change.
        self._packed = [module for module in model.modules() if hasattr(module, "cpu_linear")]

    def find(self, name: str) -> tuple[Place, slice]:
        """Where a parameter lies, and in which rows there, which may be more than transformers' (a padded vocabulary).

        Raises `UserError` if there is none of this name.
        """
        parent, _, kind = name.rpartition(".")
        if (piece := self._slices.get(parent)) is not None:
            layer = piece.layer.base_layer
            if kind == "weight":
                return Place((id(layer), kind), layer, None, []), piece.rows
            if getattr(layer, kind, None) is not None:
                return Place((id(layer), kind), None, getattr(layer, kind), []), piece.rows
        own = self._names.find(name)
        if own is None:
            raise UserError(f"{name}: vLLM's model has no such parameter")
        if (layer := self._emptied.get(own)) is not None:
            return Place((id(layer), "weight"), layer, None, []), slice(None)
        parameter = self._named[own]
        packed = [module for module in self._packed if getattr(module, "weight", None) is parameter]
        return Place((id(parameter), ""), None, parameter, packed), slice(None)

    def read(self, name: str) -> torch.Tensor:
        """The parameter's values. Raises as `find`."""
        place, rows = self.find(name)
        return place.values()[rows]

    def write(self, values: Mapping[str, torch.Tensor]) -> None:
        """Set parameters that can be read; rows that only vLLM has stay as they are."""
        wholes: dict[Place, torch.Tensor] = {}  # which are made to count but once
        for name, value in values.items():
            place, rows = self.find(name)
            whole = wholes.setdefault(place, place.values())
            whole[rows][: len(value)].copy_(value)
        for place, whole in wholes.items():
            place.apply(whole)


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
