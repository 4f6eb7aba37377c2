"""What a linear layer does during a probe, in place of vLLM's per-token LoRA kernel.

All signs of a pass hold the same tokens, one sign after the other. A linear layer therefore adds its
factors by one GEMM with A, which the signs share, and one batched GEMM with the signs' B; of cores, by
one batched GEMM with those, and then one with P, which the signs share. vLLM's CPU kernel gathers A and B
for every token, and its Triton kernels take half precision only. Outside a probe, vLLM's own code runs as
ever.

Two layers have less to do. The first block's attention has the same input for every sign, because
embeddings do not move: its base product is computed once. After the last block's attention only the
rows that predict something matter: its other layers compute those alone, and the rest are left zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from engine.runtimes.vllm.worker.dense import DenseWeights
from engine.runtimes.vllm.worker.factors import Factors, Slice
from engine.runtimes.vllm.worker.slots import Slots

# On a CPU, float32 rows that lie a multiple of 4 KiB apart fall into the same sets of its cache, and so thin a product
# takes up to five times longer than adding it rank by rank. Up to this rank that is worth it.
_ONE_BY_ONE = 4
_BLOCK = re.compile(r"\.(\d+)\.")
_ATTENTION_INPUTS = {"qkv_proj", "q_proj", "k_proj", "v_proj", "query_key_value"}
# Also where the MLP stands beside the attention: it too takes every row by itself.
_AFTER_ATTENTION = {"o_proj", "out_proj", "dense", "fc1", "fc2", "gate_up_proj", "gate_proj", "up_proj", "down_proj"}
_AFTER_ATTENTION |= {"c_fc", "c_proj", "dense_h_to_4h", "dense_4h_to_h"}


@dataclass(frozen=True)
class Pass:
    """One packed forward pass: `signs` copies of `tokens` tokens, of which `rows` predict something."""

    signs: int
    tokens: int
    rows: torch.Tensor  # int64, indices of tokens within a sign
    parts: torch.Tensor | None = None  # (tokens, shards), 1 where a token is of a shard; None: a sign has one B
    ends: tuple[list[int], list[int]] | None = None  # after each shard's tokens, and its rows; None: not at hand
    adapted: bool = True  # False is the floor that the benchmark measures: the weights as they are


class Layers:
    """Every wrapped linear layer of the model, and the pass that they are in."""

    def __init__(self, manager: Any, slots: Slots | DenseWeights) -> None:
        self._pass: Pass | None = None
        names = {id(layer): name for name, layer in manager.modules.items()}
        of_layer: dict[int, list[Slice]] = {}
        for piece in slots.slices:
            if id(piece.layer) in names:  # the others are an expert's (`engine.runtimes.vllm.worker.experts`)
                of_layer.setdefault(id(piece.layer), []).append(piece)
        blocks = {key: _block(names[key]) for key in of_layer}
        numbers = [number for number in blocks.values() if number is not None]
        whole = len(numbers) == len(blocks)  # nothing that is adapted lies outside the blocks
        self._last = max(numbers) if whole and numbers else None
        for key, pieces in of_layer.items():
            last_name = names[key].rpartition(".")[2]
            _Layer(
                self,
                pieces,
                slots.of_layer.get(key),
                slots.rank,
                same_input=whole and blocks[key] == min(numbers) and last_name in _ATTENTION_INPUTS,
                scored_only=whole and blocks[key] == max(numbers) and last_name in _AFTER_ATTENTION,
            )

    @contextmanager
    def during(self, current: Pass) -> Iterator[None]:
        """Within this, every layer takes its input as that of `current`."""
        self._pass = current
        try:
            yield
        finally:
            self._pass = None

    def current(self) -> Pass | None:
        return self._pass

    def is_last(self, name: str) -> bool:
        """Whether what is called so lies in the last block: after its attention only rows that are scored matter."""
        return self._last is not None and _block(name) == self._last


class _Layer:
    """One wrapped layer, whose `apply` this takes over during a pass."""

    def __init__(
        self,
        owner: Layers,
        pieces: list[Slice],
        factors: Factors | None,
        rank: int,
        *,
        same_input: bool,
        scored_only: bool,
    ) -> None:
        """Without factors it adds nothing: a pass is one of the weights as they are."""
        self._owner, self._pieces, self._rank = owner, pieces, rank
        self._same_input, self._scored_only = same_input, scored_only
        layer = pieces[0].layer
        if factors is not None:
            self._a, self._products, self._lifts = factors.a, factors.products, factors.lifts
            b = self._products[0].b
            clashes = (b.device.type, b.dtype, b.shape[3] % 1024) == ("cpu", torch.float32, 0)
            self._one_by_one = clashes and rank <= _ONE_BY_ONE and len(self._products) == 1
        self._adapted = factors is not None
        self._base = layer.base_layer
        self._linear = self._base.quant_method.apply
        self._original = layer.apply
        layer.apply = self.apply

    def apply(self, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """x (signs * tokens, in) -> x W^T + bias + x A^T B^T, (signs * tokens, out).

        Models of transformers that vLLM takes as they are hand on (1, signs * tokens, in), and want as much back.
        """
        current = self._owner.current()
        if current is None:
            return self._original(x, bias)
        if x.dim() > 2:
            return self.apply(x.flatten(0, -2), bias).unflatten(0, x.shape[:-1])
        if not self._scored_only:
            return self._scored(current, x, bias, current.tokens, current.parts, current.ends and current.ends[0])
        by_sign = x.view(current.signs, current.tokens, -1)
        some = by_sign[:, current.rows].flatten(0, 1)
        parts = current.parts if current.parts is None else current.parts[current.rows]
        y = self._scored(current, some, bias, len(current.rows), parts, current.ends and current.ends[1])
        whole = y.new_zeros(current.signs, current.tokens, y.shape[-1])
        whole[:, current.rows] = y.view(current.signs, len(current.rows), -1)
        return whole.flatten(0, 1)

    def _scored(
        self,
        current: Pass,
        x: torch.Tensor,
        bias: torch.Tensor | None,
        tokens: int,
        parts: torch.Tensor | None,
        ends: list[int] | None,
    ) -> torch.Tensor:
        """The layer on `tokens` rows of every sign."""
        if self._same_input and current.signs > 1:
            y = self._linear(self._base, x[:tokens], bias).repeat(current.signs, 1)
        else:
            y = self._linear(self._base, x, bias)
        if current.adapted and self._adapted:
            by_sign = y.view(current.signs, tokens, -1)
            if self._a.dim() == 2:
                # That way round, so thin a product takes a processor a fifth less.
                shrunk = (self._a @ x.T).view(-1, current.signs, tokens).permute(1, 2, 0)
                if self._lifts:
                    self._expand(cores := torch.zeros_like(shrunk), shrunk, parts, ends)
                    for lift in self._lifts:
                        y[:, lift.rows].addmm_(cores[..., lift.columns].flatten(0, 1), lift.left)
                else:
                    self._expand(by_sign, shrunk, parts, ends)
            else:
                self._expand_own(by_sign, x.view(current.signs, tokens, -1), parts, ends)
        return y

    def _expand_own(self, y: torch.Tensor, x: torch.Tensor, parts: torch.Tensor | None, ends: list[int] | None) -> None:
        """y (signs, tokens, out) <- y + x A B, where every shard of a sign has an A of its own."""
        a = self._a[: len(x)]
        if ends is not None:
            for shard, (start, end) in enumerate(pairwise([0, *ends])):
                if start < end:
                    self._add(y[:, start:end], x[:, start:end] @ a[:, shard].mT, shard)
        elif parts is not None:
            # Every token by the A of all shards, and zeros where that is not its own.
            shrunk = (x @ a.flatten(1, 2).mT).unflatten(2, (parts.shape[1], -1)) * parts[:, :, None]
            for product in self._products:
                spread = shrunk[..., product.columns].flatten(2)
                y[:, :, product.rows].baddbmm_(spread, product.b[: len(y)].flatten(1, 2))
        else:
            self._add(y, x @ a[:, 0].mT, 0)

    def _expand(
        self, y: torch.Tensor, shrunk: torch.Tensor, parts: torch.Tensor | None, ends: list[int] | None
    ) -> None:
        """y (signs, tokens, out) <- y + shrunk (signs, tokens, columns) B, with the B of each token's part.

        Of cores, what they give: columns take the place of out.
        """
        if ends is not None:
            for shard, (start, end) in enumerate(pairwise([0, *ends])):
                if start < end:  # a chunk of a batch need not have tokens of every part
                    self._add(y[:, start:end], shrunk[:, start:end], shard)
        elif parts is not None:
            # Every token in the columns of its own part, and zeros in those of the others: one product for all parts.
            for product in self._products:
                spread = (shrunk[:, :, None, product.columns] * parts[:, :, None]).flatten(2)
                y[:, :, product.rows].baddbmm_(spread, product.b[: len(y)].flatten(1, 2))
        else:
            self._add(y, shrunk, 0)

    def _add(self, y: torch.Tensor, shrunk: torch.Tensor, shard: int) -> None:
        """The same of tokens that are all of one shard."""
        if self._one_by_one:
            b = self._products[0].b[: len(y), shard]
            for index, piece in enumerate(self._pieces):
                for row in range(index * self._rank, (index + 1) * self._rank):
                    y[:, :, piece.rows].addcmul_(shrunk[:, :, row, None], b[:, None, row, piece.rows])
        elif len(self._products) == 1:
            y.baddbmm_(shrunk, self._products[0].b[: len(y), shard])
        else:
            for product in self._products:
                y[:, :, product.rows].baddbmm_(shrunk[:, :, product.columns], product.b[: len(y), shard])


def _block(name: str) -> int | None:
    """The number of the block that a layer lies in."""
    block = _BLOCK.search(name)
    return int(block[1]) if block else None
