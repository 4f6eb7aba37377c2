"""The weights inside vLLM's worker: folds into them, files of them, and how much of the update they kept."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from engine.directions import adapter
from engine.directions.intervals import Intervals, by_name, read_intervals
from engine.directions.kept import update_kept
from engine.directions.learned import UPDATE, update_state
from engine.errors import UserError
from engine.models.streamed import Entry, write_streamed
from engine.models.weights import BaseWeights
from engine.runtimes.vllm.worker.base_model import BaseWorker
from engine.runtimes.vllm.worker.dense import DenseWeights
from engine.runtimes.vllm.worker.dense import entries as entries_of
from engine.runtimes.vllm.worker.factors import Slice
from engine.runtimes.vllm.worker.linear import is_live, read_weight, write_weight
from engine.runtimes.vllm.worker.slots import Slots


class WeightsWorker(BaseWorker):
    """The part of the worker that changes weights for good; its state is the other part's."""

    vllm_config: Any
    _zo_on_gpu: bool
    _zo_intervals: Intervals

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
        learned = self._zo_slots.learned
        if not learned.dirty:
            if self._zo_on_gpu:  # weights are at hand; elsewhere reading them may cost a pass, and waits for a fold
                for layer, pieces in self._zo_by_layer():
                    for piece in pieces:
                        piece.state.begin(read_weight(layer.base_layer)[piece.rows])
            return
        assert learned.drawn_at is not None
        self._zo_intervals.take(learned.drawn_at, step, learned.learned)
        for layer, pieces in self._zo_by_layer():
            self._zo_fold_layer(layer, pieces, step)
        learned.folded()

    def _zo_fold_layer(self, layer: Any, pieces: list[Slice], step: int, *, last: bool = True) -> None:
        """Of several folds, only after the last is written what is at hand anyway."""
        weight = read_weight(layer.base_layer)
        for piece in pieces:
            piece.state.fold_into(weight[piece.rows], step)
        if last or not is_live(layer.base_layer):
            write_weight(layer.base_layer, weight)

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

    def zo_save_learned(self, path: str, folder: str) -> bool:
        """Write what each interval learned until the last fold, and the update rule's state; false where that is not
        small, or the model in `folder` cannot be read a matrix at a time, to which all of it would be added.

        Raises `OSError` if the disk does not take it.
        """
        known = self._zo_intervals.all()
        if known is None or self._zo_held() is not None:
            return False
        assert isinstance(self._zo_slots, Slots)
        try:
            BaseWeights(Path(folder), [piece.matrix for piece in self._zo_slices])
        except UserError:
            return False
        learned = self._zo_slots.learned
        names = [piece.matrix.name for piece in self._zo_slices]
        entries, tensors = by_name(known, names, learned.by_matrix, learned.learned)
        state = {f"{UPDATE}{name}": one for name, one in learned.update.settled().items()}
        write_streamed(Path(path), entries | entries_of(state), chain(tensors, state.items()))
        return True

    def zo_load_learned(self, path: str, step: int, folder: str, moved: bool) -> None:
        """Fold what is in such a file into the weights of the model in `folder`; forget what was learned since.

        `step` is that of the last fold; `moved`: whether the weights are others than those.
        """
        slots = self._zo_slots
        assert isinstance(slots, Slots)
        learned = slots.learned
        learned.settle()
        with safe_open(path, framework="pt") as file:
            names = [piece.matrix.name for piece in self._zo_slices]
            known = read_intervals(file, names, learned.by_matrix, learned.learned)
            state = update_state(file)
        if moved:
            self._zo_to_base(folder)
        learned.restart()
        layers = self._zo_by_layer()
        for number, one in enumerate(known, 1):
            learned.draw_basis(one.began)
            learned.learned.copy_(one.learned)
            for layer, pieces in layers:
                self._zo_fold_layer(layer, pieces, one.folded, last=number == len(known))
            learned.folded()
        learned.restart()
        self._zo_intervals.restart(known)
        slots.resume(step, state)

    def _zo_to_base(self, folder: str) -> None:
        """Set every matrix to what the model's files hold; what they could not hold is nothing."""
        base = BaseWeights(Path(folder), [piece.matrix for piece in self._zo_slices])
        for layer, pieces in self._zo_by_layer():
            weight = read_weight(layer.base_layer)
            for piece in pieces:
                weight[piece.rows].copy_(base.read(piece.matrix.name))
                if piece.state.fold.residual is not None:
                    piece.state.fold.residual.zero_()
            write_weight(layer.base_layer, weight)

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
        self._zo_intervals.restart(None)
        self._zo_slots.learned.restart()
        self._zo_slots.resume(step, state)
