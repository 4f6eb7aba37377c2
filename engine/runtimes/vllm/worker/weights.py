"""The weights inside vLLM's worker: folds into them, files of them, and how much of the update they kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from engine.directions import adapter
from engine.directions.kept import update_kept
from engine.directions.learned import UPDATE, update_state
from engine.models.streamed import Entry, write_streamed
from engine.runtimes.vllm.worker.base_model import BaseWorker
from engine.runtimes.vllm.worker.dense import DenseWeights
from engine.runtimes.vllm.worker.dense import entries as entries_of
from engine.runtimes.vllm.worker.linear import read_weight, write_weight
from engine.runtimes.vllm.worker.slots import Slots


class WeightsWorker(BaseWorker):
    """The part of the worker that changes weights for good; its state is the other part's."""

    vllm_config: Any
    _zo_on_gpu: bool

    def zo_update_kept(self) -> tuple[float, float] | None:
        """(kept, cosine) of the update until the last fold; None before there was one."""
        if isinstance(self._zo_slots, DenseWeights):
            update = self._zo_slots.update_kept()
        else:
            update = update_kept(piece.state.sample for piece in self._zo_slices)
        return (update.kept, update.cosine) if update else None

    def zo_fold(self, step: int) -> None:
        """Add U_acc V^T to the weights; `step` is the next to be taken. An adapter stays beside them."""
        if isinstance(self._zo_slots, DenseWeights) or self._zo_slots.learned.a is not None:
            return
        if not self._zo_slots.learned.dirty:
            if self._zo_on_gpu:  # weights are at hand; elsewhere reading them may cost a pass, and waits for a fold
                for layer, pieces in self._zo_by_layer():
                    for piece in pieces:
                        piece.state.begin(read_weight(layer.base_layer)[piece.rows])
            return
        for layer, pieces in self._zo_by_layer():
            weight = read_weight(layer.base_layer)
            for piece in pieces:
                piece.state.fold_into(weight[piece.rows], step)
            write_weight(layer.base_layer, weight)
        self._zo_slots.learned.folded()

    def zo_save(self, path: str) -> None:
        """Write every matrix as it was at the last fold, under its Hugging Face name, and its residual.

        Of an adapter its factors, and of what moves in place all of it, as they are now; and the update rule's state.
        One layer's are at hand at a time. Raises `OSError` if the disk does not take them.
        """
        if (held := self._zo_held()) is not None:
            write_streamed(Path(path), entries_of(held), held.items())
            return
        assert isinstance(self._zo_slots, Slots)
        self._zo_slots.learned.settle()
        dtype = self.vllm_config.model_config.dtype
        entries = {}
        for _, pieces in self._zo_by_layer():
            for piece in pieces:
                shape = (piece.matrix.rows, piece.matrix.cols)
                entries[piece.matrix.name] = Entry(shape, dtype)
                if piece.state.fold.residual is not None:
                    entries[f"{piece.matrix.name}.residual"] = Entry(shape, torch.int16)
        state = {f"{UPDATE}{name}": value for name, value in self._zo_slots.learned.update.settled().items()}
        entries |= {name: Entry(tuple(value.shape), value.dtype) for name, value in state.items()}

        def tensors() -> Iterator[tuple[str, torch.Tensor]]:
            for layer, pieces in self._zo_by_layer():
                weight = read_weight(layer.base_layer)
                for piece in pieces:
                    yield piece.matrix.name, weight[piece.rows]
                    if piece.state.fold.residual is not None:
                        yield f"{piece.matrix.name}.residual", piece.state.fold.residual
            yield from state.items()

        write_streamed(Path(path), entries, tensors())

    def _zo_held(self) -> dict[str, torch.Tensor] | None:
        """What is held beside the weights, and is all that a checkpoint holds; None where those move by folds."""
        if isinstance(self._zo_slots, DenseWeights):
            return self._zo_slots.tensors()
        learned = self._zo_slots.learned
        if learned.a is None:
            return None
        return {**adapter.tensors(learned), **{f"{UPDATE}{name}": one for name, one in learned.update.state().items()}}

    def zo_load(self, path: str, step: int) -> None:
        """Set every matrix, and the update rule's state, from such a file; forget what was learned since.

        `step` is that of the fold that it was written after.
        """
        with safe_open(path, framework="pt") as file:
            if isinstance(self._zo_slots, DenseWeights):
                self._zo_slots.load(file)
                return
            if self._zo_slots.learned.a is not None:
                self._zo_slots.learned.restart()
                self._zo_slots.learned.resume(step, update_state(file))
                adapter.load(self._zo_slots.learned, file)
                self._zo_slots.write_a()
                return
            self._zo_slots.learned.settle()
            for layer, pieces in self._zo_by_layer():
                weight = read_weight(layer.base_layer)
                for piece in pieces:
                    weight[piece.rows].copy_(file.get_tensor(piece.matrix.name))
                    if piece.state.fold.residual is not None:
                        piece.state.fold.residual.copy_(file.get_tensor(f"{piece.matrix.name}.residual"))
                write_weight(layer.base_layer, weight)
            state = update_state(file)
        self._zo_slots.learned.restart()
        self._zo_slots.resume(step, state)
