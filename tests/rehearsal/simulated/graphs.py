"""CUDA graphs of the simulated card: what was launched, in order, to be done again on the same memory."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from tests.rehearsal.simulated.counters import Launch, counters


class SimulatedGraph:
    """Stands in for torch.cuda.CUDAGraph."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.tape: list[Launch] = []

    def replay(self) -> None:
        """Do again what was recorded, as one launch."""
        counters.replayed(self.tape)
        with torch._C.DisableTorchFunction(), _disable_current_modes(), torch.inference_mode():
            for launch in self.tape:
                launch.again()

    def reset(self) -> None:
        self.tape = []


class simulated_recording:
    """Stands in for torch.cuda.graph."""

    def __init__(self, graph: SimulatedGraph, pool: Any = None, stream: Any = None, **kwargs: Any) -> None:
        self._graph = graph

    def __enter__(self) -> None:
        if counters.tape is not None:
            raise RuntimeError("a graph is being recorded already")
        self._graph.tape = counters.tape = []

    def __exit__(self, *error: Any) -> None:
        counters.tape = None


def install() -> None:
    """In the place of torch's own."""
    torch.cuda.CUDAGraph = SimulatedGraph  # type: ignore[misc, assignment]
    torch.cuda.graph = simulated_recording  # type: ignore[misc, assignment]
    torch.cuda.graph_pool_handle = lambda: (0, 0)  # type: ignore[assignment]
    torch.cuda.is_current_stream_capturing = lambda: counters.tape is not None
