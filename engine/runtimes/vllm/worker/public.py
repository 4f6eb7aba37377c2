"""A sign for vLLM's public API, in vLLM's own slots: reckoned anew, so that comparing it with a pass finds a fault in
what ours wrote."""

from __future__ import annotations

from typing import Any

import torch
from vllm.lora.request import LoRARequest

from engine.models.names import Names
from engine.runtimes.vllm.worker.dense import DenseWeights
from engine.runtimes.vllm.worker.experts import Mixture
from engine.runtimes.vllm.worker.factors import Slice
from engine.runtimes.vllm.worker.matrices import find_slices
from engine.runtimes.vllm.worker.slots import Slots

_ADAPTERS = {1: "plus", 2: "minus"}  # ids and names of the two pinned slots, of the first and of the second sign


class PublicWorker:
    """The part of the worker that vLLM's public API sees; its state is the other part's."""

    model_runner: Any
    _zo_slices: list[Slice]
    _zo_slots: Slots | DenseWeights
    _zo_mixtures: list[Mixture]
    _zo_slot_of: dict[int, int]  # by the adapter's id

    def zo_publish(self, sign: int, shard: int = 0) -> int:
        """Bring a shard of a sign into vLLM's slots, and show it to experts; returns the adapter's id."""
        adapter = sign % len(_ADAPTERS) + 1
        if isinstance(self._zo_slots, DenseWeights):
            return adapter  # which adds nothing: the sign is in the weights themselves
        rank, slot = self._zo_slots.rank, self._zo_slot_of[adapter]
        added = dict(zip(map(id, self._zo_slices), self._zo_slots.by_definition(sign, shard), strict=True))
        for piece in self._zo_slices:
            u, v = added[id(piece)]
            for part in piece.parts:  # of an expert's there are none
                a, b = piece.layer.lora_a_stacked[part], piece.layer.lora_b_stacked[part]
                rows, u = u[: b.shape[2]], u[b.shape[2] :]
                a[slot, 0, :rank].copy_(v.T)
                b[slot, 0, :, :rank].copy_(rows)
        self._zo_show(added)
        return adapter

    def zo_unpublish(self) -> None:
        """Experts are shown no sign any more."""
        self._zo_show(None)

    def _zo_show(self, added: dict[int, tuple[torch.Tensor, torch.Tensor]] | None) -> None:
        for mixture in self._zo_mixtures:
            mixture.show(added)

    def _zo_make_slots(self, rank: int, known: Names) -> tuple[Any, list[Slice]]:
        """Have vLLM make and keep its slots; returns what manages them, and which matrices they are for."""
        lora = self.model_runner.lora_manager
        manager = lora._adapter_manager
        for adapter, name in _ADAPTERS.items():
            lora.add_dummy_lora(LoRARequest(name, adapter, "/none"), rank=rank)
            manager.activate_adapter(adapter)
            manager.pin_adapter(adapter)
        self._zo_slot_of = {adapter: manager.lora_index_to_id.index(adapter) for adapter in _ADAPTERS}
        slices = find_slices(manager, known)
        for piece in slices:
            # They hold noise from the dummy adapter, and padding above our rank.
            for part in piece.parts:
                piece.layer.lora_a_stacked[part].zero_()
                piece.layer.lora_b_stacked[part].zero_()
        return manager, slices
