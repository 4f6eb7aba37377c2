"""The experts of a mixture inside vLLM's worker: computed here during a pass, in place of vLLM's fused kernel.

What a probe adds to an expert's first product must be there before the activation, so that nothing can be added to
what vLLM's kernel gives; its own LoRA form of that kernel has slots for every expert of every adapter, and runs on
GPUs alone. The router is vLLM's. Tokens are then brought into the order of (expert, sign): a product with the weights,
or with A or P, which the signs share, is one grouped GEMM over the experts, one with B, or cores, over experts and
signs. Shapes do not depend on what the router chose. Where torch has a kernel for such a GEMM (on a GPU for bfloat16)
nothing waits and passes can be recorded; its fallback brings the counts to the host for every product, which is right,
and slow. Weights are vLLM's own, live.

Outside a pass, where vLLM's public API is asked for a sign, they are computed by the definition, expert after expert,
with U and V as they were drawn: the self-check compares the two. So they are always on a CPU, where vLLM 0.32 takes a
GPU's kernel for a mixture with LoRA. On a GPU this has never run, only in rehearsal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import grouped_mm, silu

from engine.models.weights import Matrix
from engine.runtimes.vllm.support import CannotAdapt
from engine.runtimes.vllm.worker.factors import Factors, Lift, Slice
from engine.runtimes.vllm.worker.layers import Layers, Pass

_Added = dict[int, tuple[torch.Tensor, torch.Tensor]]
"""U and V by the `id` of a slice."""


class Weight:
    """A weight of one expert, as folds and files know the layers of vLLM: `weight` is live."""

    def __init__(self, stacked: torch.Tensor, number: int) -> None:
        self.weight = stacked[number]

    @property
    def base_layer(self) -> Weight:
        return self


@dataclass(frozen=True)
class _Product:
    """One product with B, of all experts of a layer."""

    columns: slice  # of what A gives
    rows: slice  # of what the weights give, or, of cores, of what they give
    b: torch.Tensor  # (signs, experts, shards, columns, rows)


class _Half:
    """One of a layer's two products: its weights, (experts, out, in), and what signs add to them."""

    def __init__(self, stacked: torch.Tensor, names: Sequence[str], parent: str) -> None:
        self.stacked = stacked
        experts, rows, cols = stacked.shape
        rows //= len(names)
        self.pieces: list[list[Slice]] = []  # by expert
        for number in range(experts):
            layer = Weight(stacked, number)
            matrices = [Matrix(f"{parent}.{number}.{name}.weight", rows, cols) for name in names]
            self.pieces.append([Slice(matrix, layer, 0, i * rows, 0) for i, matrix in enumerate(matrices)])
        self._a: torch.Tensor  # (experts, columns, in)
        self._products: list[_Product] = []
        self._lifts: list[Lift] = []  # with `left` (experts, columns, rows)

    def take(self, of_layer: dict[int, Factors]) -> None:
        """Where its factors lie: those of one expert after the other, at equal distances."""
        each = [of_layer[id(pieces[0].layer)] for pieces in self.pieces]
        self._a = _stack([factors.a for factors in each], 0)
        for index, product in enumerate(each[0].products):
            b = _stack([factors.products[index].b for factors in each], 1)
            self._products.append(_Product(product.columns, product.rows, b))
        for index, lift in enumerate(each[0].lifts):
            left = _stack([factors.lifts[index].left for factors in each], 0)
            self._lifts.append(Lift(lift.columns, lift.rows, left))

    def apply(self, x: torch.Tensor, ends: torch.Tensor, signs: int, shards: int, *, adapted: bool) -> torch.Tensor:
        """x (rows, in), ordered by expert, sign and shard, -> (rows, out).

        ends: (experts * signs * shards), after the last of each.
        """
        of_expert = ends[signs * shards - 1 :: signs * shards].contiguous()
        y = grouped_mm(x, self.stacked.mT, offs=of_expert)
        if adapted:
            shrunk = grouped_mm(x, self._a.mT, offs=of_expert)
            added = torch.zeros_like(shrunk) if self._lifts else y
            for product in self._products:
                b = product.b[:signs, :, :shards].transpose(0, 1).flatten(0, 2)
                added[:, product.rows] += grouped_mm(shrunk[:, product.columns], b, offs=ends)
            for lift in self._lifts:
                y[:, lift.rows] += grouped_mm(added[:, lift.columns], lift.left, offs=of_expert)
        return y

    def by_definition(self, expert: int, x: torch.Tensor, added: _Added | None) -> torch.Tensor:
        """x W^T + x V U^T of one expert."""
        y = x @ self.stacked[expert].T
        if added is not None:
            for piece in self.pieces[expert]:
                u, v = added[id(piece)]
                y[:, piece.rows] += ((x.float() @ v) @ u.T).to(y.dtype)
        return y


class Mixture:
    """The experts of one block.

    Attributes: slices, their matrices.
    """

    def __init__(self, name: str, routed: Any, *, on_gpu: bool) -> None:
        """`name`: of the block's part in the model's files. Raises `CannotAdapt` for experts of another kind."""
        _check(name, routed)
        self.name, self._on_gpu = name, on_gpu
        gate, up, down = (getattr(routed, f"ckpt_{own}_proj_name") for own in ("gate", "up", "down"))
        self._first = _Half(routed.w13_weight.data, [gate, up], name)
        self._second = _Half(routed.w2_weight.data, [down], name)
        self._adapted = self._scored_only = False
        self._layers: Layers | None = None
        self._shown: _Added | None = None
        self._original = routed.forward_modular
        routed.forward_modular = self.forward

    @property
    def slices(self) -> list[Slice]:
        return [piece for half in (self._first, self._second) for pieces in half.pieces for piece in pieces]

    def begin(self, layers: Layers, of_layer: dict[int, Factors] | None) -> None:
        """Take part in the passes of `layers`; with factors, the experts move."""
        self._layers, self._scored_only = layers, layers.is_last(self.name)
        if of_layer is not None:
            self._adapted = True
            for half in (self._first, self._second):
                half.take(of_layer)

    def show(self, added: _Added | None) -> None:
        """What is added, of the sign that the public API is asked for; None: the weights as they are."""
        self._shown = added if self._adapted else None

    def forward(
        self, x: torch.Tensor, topk_weights: torch.Tensor, topk_ids: torch.Tensor, *others: Any, **named: Any
    ) -> Any:
        """x (tokens, hidden) -> what the experts that were chosen for each token give, weighted and summed up.

        topk_weights, topk_ids: (tokens, chosen).
        """
        current = self._layers.current() if self._layers else None
        if current is None:
            if self._on_gpu and self._shown is None:
                return self._original(x, topk_weights, topk_ids, *others, **named)
            return self._by_definition(x, topk_weights, topk_ids)
        if not self._scored_only:
            return self._grouped(current, current.parts, x, topk_weights, topk_ids)
        by_sign = (part.view(current.signs, current.tokens, -1) for part in (x, topk_weights, topk_ids))
        parts = current.parts if current.parts is None else current.parts[current.rows]
        some = self._grouped(current, parts, *(part[:, current.rows].flatten(0, 1) for part in by_sign))
        whole = x.new_zeros(current.signs, current.tokens, x.shape[-1])
        whole[:, current.rows] = some.view(current.signs, len(current.rows), -1)
        return whole.flatten(0, 1)

    def _grouped(
        self,
        current: Pass,
        parts: torch.Tensor | None,
        x: torch.Tensor,
        topk_weights: torch.Tensor,
        topk_ids: torch.Tensor,
    ) -> torch.Tensor:
        """The experts on equally many rows of every sign, each of which has its part of the batch."""
        signs, chosen, adapted = current.signs, topk_ids.shape[1], current.adapted and self._adapted
        shards = 1 if parts is None else parts.shape[1]
        within = torch.arange(signs, device=x.device).unsqueeze(1) * shards  # an expert
        if parts is not None:
            within = within + parts.argmax(1).repeat_interleave(chosen)
        groups, order = (topk_ids.view(signs, -1).long() * (signs * shards) + within).flatten().sort(stable=True)
        every = torch.arange(len(self._first.stacked) * signs * shards, device=x.device)
        ends = torch.searchsorted(groups, every, right=True).int()
        inner = _activated(self._first.apply(x[order // chosen], ends, signs, shards, adapted=adapted))
        y = self._second.apply(inner, ends, signs, shards, adapted=adapted)
        by_token = torch.empty_like(y)
        by_token[order] = y
        return _weighted(by_token.view(*topk_ids.shape, -1), topk_weights)

    def _by_definition(self, x: torch.Tensor, topk_weights: torch.Tensor, topk_ids: torch.Tensor) -> torch.Tensor:
        """The same for the sign that is shown, on any rows."""
        each = x.new_empty(*topk_ids.shape, x.shape[-1])
        for expert in topk_ids.unique().tolist():
            places = topk_ids == expert
            inputs = x[places.nonzero()[:, 0]]
            inner = _activated(self._first.by_definition(expert, inputs, self._shown))
            each[places] = self._second.by_definition(expert, inner, self._shown)
        return _weighted(each, topk_weights)


def find_mixtures(model: Any, *, moving: bool, on_gpu: bool) -> list[Mixture]:
    """Every block's experts, taken over from vLLM; where they do not move, a GPU has vLLM's own kernel for them.

    Raises `CannotAdapt` for experts of a kind that is not known here.
    """
    if on_gpu and not moving:
        return []
    mixtures = []
    for name, module in model.named_modules():
        if (routed := getattr(module, "routed_experts", None)) is not None:
            mixtures.append(Mixture(name, routed, on_gpu=on_gpu))
    return mixtures


@contextmanager
def in_plain_order() -> Iterator[None]:
    """Within this, vLLM takes on every GPU a kernel for experts that leaves their weights as the files have them.

    On the newest it would take one that wants them in blocks.
    """
    try:
        from vllm.model_executor.layers.fused_moe.oracle import unquantized
    except ImportError:  # another vLLM: `find_mixtures` finds out
        yield
        return
    asked = getattr(unquantized, "_trtllm_bf16_lora_supported", None)
    unquantized._trtllm_bf16_lora_supported = lambda moe_config: False
    try:
        yield
    finally:
        unquantized._trtllm_bf16_lora_supported = asked


def _activated(gate_up: torch.Tensor) -> torch.Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    return silu(gate).mul_(up)


def _weighted(each: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """each (tokens, chosen, hidden), weights (tokens, chosen) -> (tokens, hidden), as transformers rounds it."""
    return torch.bmm(weights.to(each.dtype).unsqueeze(1), each).squeeze(1)


def _stack(each: list[torch.Tensor], dim: int) -> torch.Tensor:
    """Tensors of one shape that lie at equal distances, as a view with the new dimension `dim`."""
    first = each[0]
    starts = [tensor.storage_offset() for tensor in each]
    step = starts[1] - starts[0] if len(each) > 1 else 0
    if starts != [starts[0] + step * number for number in range(len(each))]:
        raise RuntimeError("the factors of a mixture's experts do not lie at equal distances")
    stride = first.stride()
    return first.as_strided((*first.shape[:dim], len(each), *first.shape[dim:]), (*stride[:dim], step, *stride[dim:]))


def _check(name: str, routed: Any) -> None:
    """Raise `CannotAdapt` unless experts are gated by SiLU, without biases, and their weights lie as in the files."""
    backend = getattr(getattr(routed.quant_method, "unquantized_backend", None), "name", "another")
    activation = getattr(routed.activation, "name", str(routed.activation))
    why = ""
    if backend != "TRITON":  # all others bring the weights into an order of their own
        why = f"vLLM's experts ({backend}) keep weights in an order of their own"
    elif activation != "SILU" or hasattr(routed, "w13_bias") or routed.apply_router_weight_on_input:
        why = f"its experts are of another kind than is known here ({activation})"
    elif routed.expert_map is not None or routed.w13_weight.shape[1] != 2 * routed.w2_weight.shape[2]:
        why = "its experts are not all here as they are in the files"
    if why:
        raise CannotAdapt(f"model.path: {name}: {why}; use --set model.runtime=training-loop")
