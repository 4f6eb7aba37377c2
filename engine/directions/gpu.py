"""Where the kernels of ours do the work: one question, asked here alone."""

from __future__ import annotations

import torch


def runs_kernels(device: torch.device) -> bool:
    """Whether what lies on this device is worked on by `engine.directions.kernels`."""
    return device.type == "cuda"
