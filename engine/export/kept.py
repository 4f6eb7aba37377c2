"""How much of what a run moved is left when its weights are written in fewer bits, from a sample of their entries."""

from __future__ import annotations

import torch

_SAMPLED = 4096  # entries of each parameter, evenly apart


class Rounding:
    """The entries of a model's parameters as they are now, to be compared with what they have become."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._before = self._pick()

    def kept(self, dtype: torch.dtype) -> float | None:
        """<rounded, moved> / |moved|^2: the share of the way that is still there in `dtype`; None if nothing moved."""
        dot = whole = 0.0
        for before, now in zip(self._before, self._pick(), strict=True):
            moved = now.double() - before.double()
            dot += float(moved @ (now.to(dtype).double() - before.double()))
            whole += float(moved @ moved)
        return dot / whole if whole > 0 else None

    def _pick(self) -> list[torch.Tensor]:
        parameters = (parameter.detach().reshape(-1) for parameter in self._model.parameters())
        return [one[:: max(1, one.numel() // _SAMPLED)].clone() for one in parameters]
