"""Read and write the weight of one of vLLM's linear layers, however its device keeps it.

On CUDA `.weight` is live. On CPU vLLM packs it for its matrix library and empties `.weight`, so that
an edit in place does nothing: the weight is recovered, bit for bit, by applying the layer to the
identity, and packed again after the change.
"""

from __future__ import annotations

from typing import Any

import torch

_IDENTITY_ROWS = 1024  # of the identity at a time, to bound the memory it takes


def read_weight(layer: Any) -> torch.Tensor:
    """The weight (out, in) in its own dtype: a copy on CPU, the live tensor elsewhere."""
    if layer.weight.numel():
        return layer.weight.data
    parts = []
    for start in range(0, layer.input_size_per_partition, _IDENTITY_ROWS):
        rows = min(_IDENTITY_ROWS, layer.input_size_per_partition - start)
        identity = torch.zeros(rows, layer.input_size_per_partition, dtype=layer.weight.dtype)
        identity[torch.arange(rows), torch.arange(start, start + rows)] = 1
        parts.append(layer.cpu_linear(identity, layer.weight, None))
    return torch.cat(parts).T.contiguous()


def write_weight(layer: Any, weight: torch.Tensor) -> None:
    """Make `weight`, changed since `read_weight`, the one that the layer applies."""
    if layer.weight.numel():
        if layer.weight.data_ptr() != weight.data_ptr():
            layer.weight.data.copy_(weight)
        return
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    layer.quant_method.process_weights_after_loading(layer)
