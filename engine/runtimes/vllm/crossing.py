"""A tensor as it crosses to the worker: its shape and its float32 values, which hold any narrower ones exactly."""

from __future__ import annotations

import torch

Crossing = tuple[list[int], bytes]


def sent(values: torch.Tensor) -> Crossing:
    """What is sent of a tensor."""
    return list(values.shape), values.float().cpu().contiguous().numpy().tobytes()


def received(crossing: Crossing) -> torch.Tensor:
    """The tensor that was sent, in float32 on the CPU."""
    shape, numbers = crossing
    return torch.frombuffer(bytearray(numbers), dtype=torch.float32).reshape(shape)
