"""The base model inside vLLM's worker, for a moment: the weights of its files in the place of those of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from engine.models.weights import BaseWeights
from engine.runtimes.vllm.worker.dense import DenseWeights
from engine.runtimes.vllm.worker.factors import Slice
from engine.runtimes.vllm.worker.linear import read_weight, write_weight
from engine.runtimes.vllm.worker.slots import Slots


class BaseWorker:
    """The part of the worker that shows the base model; its state is the other part's."""

    _zo_slices: list[Slice]
    _zo_slots: Slots | DenseWeights
    _zo_aside: list[torch.Tensor]

    def zo_rest(self) -> None:
        """Make the one sign nothing at all: the weights without what was learned since the last fold."""
        self._zo_slots.rest()

    def zo_set_aside(self, folder: str) -> None:
        """Keep every weight in the host's memory and put in its place what the model's files hold.

        Raises `UserError`, before anything is moved, where those cannot be read.
        """
        self._zo_aside = []
        if isinstance(self._zo_slots, DenseWeights):
            self._zo_slots.show_base(folder)
            return
        base = BaseWeights(Path(folder), [piece.matrix for piece in self._zo_slices])
        for layer, pieces in self._zo_by_layer():
            weight = read_weight(layer.base_layer)
            self._zo_aside.append(weight.to("cpu", copy=True))
            for piece in pieces:
                weight[piece.rows].copy_(base.read(piece.matrix.name))
            write_weight(layer.base_layer, weight)

    def zo_bring_back(self) -> None:
        """Put back what was set aside, as far as it was, bit for bit."""
        if isinstance(self._zo_slots, DenseWeights):
            self._zo_slots.settle()
            return
        for (layer, _), kept in zip(self._zo_by_layer(), self._zo_aside, strict=False):
            weight = read_weight(layer.base_layer)
            weight.copy_(kept)
            write_weight(layer.base_layer, weight)
        self._zo_aside = []

    def _zo_by_layer(self) -> list[tuple[Any, list[Slice]]]:
        """Every layer with the matrices that it packs."""
        layers: dict[int, tuple[Any, list[Slice]]] = {}
        for piece in self._zo_slices:
            layers.setdefault(id(piece.layer), (piece.layer, []))[1].append(piece)
        return list(layers.values())
