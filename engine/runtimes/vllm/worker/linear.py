"""Read and write the weight of one of vLLM's linear layers, however its device keeps it.

On CUDA `.weight` is live. On CPU vLLM packs it for its matrix library and empties `.weight`, so that
an edit in place does nothing: after a change the weight is packed again. The plain weight is kept from
before the first packing where memory allows; elsewhere it is recovered, bit for bit, by applying the
layer to the identity, which costs a forward pass of as many tokens as the layer has inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from vllm.model_executor.layers import utils

_IDENTITY_ROWS = 1024  # of the identity at a time, to bound the memory it takes
_KEPT = "zo_plain_weight"  # the attribute of a layer that holds its plain weight


@contextmanager
def keeping_plain_weights() -> Iterator[None]:
    """Within this, layers that vLLM loads on a CPU keep their plain weight beside the packed one."""
    pack = getattr(utils, "dispatch_cpu_unquantized_gemm", None)
    if pack is None:  # another vLLM: the identity still works
        yield
        return

    def keep_and_pack(layer: Any, remove_weight: bool) -> None:
        if remove_weight:
            setattr(layer, _KEPT, layer.weight.data)
        pack(layer, remove_weight)

    utils.dispatch_cpu_unquantized_gemm = keep_and_pack
    try:
        yield
    finally:
        utils.dispatch_cpu_unquantized_gemm = pack


def read_weight(layer: Any) -> torch.Tensor:
    """The weight (out, in) in its own dtype: the live tensor, the kept one, or one recovered."""
    if layer.weight.numel():
        return layer.weight.data
    if (kept := getattr(layer, _KEPT, None)) is not None:
        return kept
    parts = []
    for start in range(0, layer.input_size_per_partition, _IDENTITY_ROWS):
        rows = min(_IDENTITY_ROWS, layer.input_size_per_partition - start)
        identity = torch.zeros(rows, layer.input_size_per_partition, dtype=layer.weight.dtype)
        identity[torch.arange(rows), torch.arange(start, start + rows)] = 1
        parts.append(layer.cpu_linear(identity, layer.weight, None))
    return torch.cat(parts).T.contiguous()


def is_live(layer: Any) -> bool:
    """Whether `read_weight` gives the same tensor every time, so that of several changes the last alone is written."""
    return bool(layer.weight.numel()) or getattr(layer, _KEPT, None) is not None


def write_weight(layer: Any, weight: torch.Tensor) -> None:
    """Make `weight`, changed since `read_weight`, the one that the layer applies."""
    if layer.weight.numel():
        if layer.weight.data_ptr() != weight.data_ptr():
            layer.weight.data.copy_(weight)
        return
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    layer.quant_method.process_weights_after_loading(layer)
