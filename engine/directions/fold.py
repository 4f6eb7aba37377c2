"""How what an interval learned, U_acc V^T, goes into a weight of low precision.

A small update is below what a bfloat16 or float16 weight can tell apart, so rounding to the nearest
loses most of it, fold after fold. Two ways keep it:

residual    what the weight could not hold is kept beside it, in 65536ths of the weight's last place:
            weight and residual together are a float32, for 2 bytes a parameter. Where a GPU has no room for
            them they lie in the host's memory (`engine.directions.staging`), with the same numbers.
stochastic  the weight is rounded to one of its two neighbours by chance, the nearer the likelier:
            right on average, for no memory. The noise is a function of (seed, step, parameter name).

On a GPU a fold is one kernel a matrix (`engine.directions.kernels`); here it is done in parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from engine.directions import gpu
from engine.directions.chance import chances_of, neighbour, round_by_chance
from engine.directions.philox import key
from engine.directions.staging import Staging
from engine.models.weights import Matrix

FoldMode = Literal["residual", "host-residual", "stochastic", "nearest"]
RESIDUAL_BYTES = 2  # a parameter

_CHUNK = 2**21  # entries folded at a time, to bound the float32 copies; stochastic noise depends on it
_CACHED = 2**18  # of them, that a processor's cache holds through all that is done to an entry by itself
_PARTS = 2**16  # of the last place, that the residual counts


def residual_size(fold: FoldMode) -> int:
    """Bytes a parameter of what is kept beside the weights, wherever it lies."""
    return RESIDUAL_BYTES if fold in ("residual", "host-residual") else 0


def choose_fold(wanted: str, dtype: str) -> FoldMode:
    """What `model.fold` means for weights of `dtype`: float32 holds every update by itself."""
    if dtype == "float32":
        return "nearest"
    return "residual" if wanted == "auto" else wanted  # type: ignore[return-value]


class Fold:
    """Adds to one matrix's weight; the weight itself lives elsewhere.

    Attributes: residual, (rows, cols) int16, or None where the mode keeps none; look at it `at_hand`.
    """

    def __init__(
        self,
        matrix: Matrix,
        mode: FoldMode,
        seed: int,
        device: torch.device,
        drawn: str = "philox",
        staging: Staging | None = None,
    ) -> None:
        """`drawn`: what noise comes from (`engine.directions.low_rank.Drawn`). `staging`: that of host residuals."""
        self._matrix, self._mode, self._seed, self._drawn = matrix, mode, seed, drawn
        self._on_gpu, self._staging = gpu.runs_kernels(device), staging
        self.residual: torch.Tensor | None = None
        if staging is not None:
            self.residual = staging.make(matrix)
        elif mode in ("residual", "host-residual"):
            self.residual = torch.zeros(matrix.rows, matrix.cols, dtype=torch.int16, device=device)

    @contextmanager
    def at_hand(self) -> Iterator[torch.Tensor | None]:
        """Within it, the residual where the weight is; changes count."""
        if self._staging is None or self.residual is None:
            yield self.residual
        else:
            with self._staging.at_hand(self.residual) as there:
                yield there

    def add(
        self, weight: torch.Tensor, residual: torch.Tensor | None, u: torch.Tensor, v: torch.Tensor, step: int
    ) -> None:
        """weight <- weight + u v^T, in place; `step` is that of the fold.

        weight: (rows, cols), contiguous; residual: what is `at_hand`; u: (rows, r) and v: (cols, r), float32.
        """
        if self._on_gpu and not (self._mode == "stochastic" and self._drawn == "torch"):
            from engine.directions import kernels

            noise = (*key(self._seed, "fold", self._matrix.name), step) if self._mode == "stochastic" else None
            kernels.fold(weight, residual, u, v, noise)
            return
        chances = None
        if self._mode == "stochastic":
            chances = chances_of(self._drawn, self._seed, step, self._matrix.name, weight.device)
        for rows in _parts(weight, _CHUNK):
            part = weight[rows]
            if residual is not None:
                _add_exactly(part, residual[rows], u[rows], v)
                continue
            total = part.float().addmm_(u[rows], v.T)
            part.copy_(total if chances is None else round_by_chance(total, part.dtype, chances(part.numel())))

    def chances(self, step: int) -> Callable[[int], torch.Tensor] | None:
        """What `add_part` rounds by at this step, from the first entry on; None where it does not do so by chance."""
        if self._mode != "stochastic":
            return None
        return chances_of(self._drawn, self._seed, step, self._matrix.name, torch.device("cpu"))

    @staticmethod
    def add_part(
        weight: torch.Tensor,
        residual: torch.Tensor | None,
        change: torch.Tensor,
        chances: Callable[[int], torch.Tensor] | None,
    ) -> None:
        """Some rows of a weight, and of its residual, <- themselves + change, (rows, cols) and float32, in place.

        The parts of a weight come in order, and `chances` are the same for all of them. `change` is overwritten.
        """
        total = change.add_(state(weight, residual))
        if residual is not None:
            _split(total, weight, residual)
        elif chances is not None:
            by = chances(weight.numel()).to(weight.device)
            weight.copy_(round_by_chance(total, weight.dtype, by))
        else:
            weight.copy_(total)


def state(weight: torch.Tensor, residual: torch.Tensor | None) -> torch.Tensor:
    """What a run has of these entries, in float32: the weight, and its residual where there is one."""
    value = weight.float()
    if residual is None:
        return value
    return (residual.float() / _PARTS).mul_(_last_place(weight, value)).add_(value)


def _add_exactly(weight: torch.Tensor, residual: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> None:
    """weight, with its residual, <- itself + u v^T, in place."""
    total = torch.empty(weight.shape, device=weight.device)
    # The product goes over all of it: the last bits of a product depend on its size.
    small = list(_parts(weight, _CACHED if weight.device.type == "cpu" else weight.numel()))
    for rows in small:
        total[rows] = state(weight[rows], residual[rows])
    total.addmm_(u, v.T)
    for rows in small:
        _split(total[rows], weight[rows], residual[rows])


def _split(total: torch.Tensor, weight: torch.Tensor, residual: torch.Tensor) -> None:
    """weight and residual <- total, which is overwritten."""
    weight.copy_(total)
    value = weight.float()
    total.sub_(value).div_(_last_place(weight, value)).mul_(_PARTS).round_()
    # Half a last place is one count more than int16 goes up to.
    residual.copy_(total.clamp_(-_PARTS // 2, _PARTS // 2 - 1))


def _parts(matrix: torch.Tensor, entries: int) -> Iterator[slice]:
    """Rows of a matrix, so many at a time that they have about `entries` entries."""
    rows, cols = matrix.shape
    height = max(1, entries // cols)
    for start in range(0, rows, height):
        yield slice(start, min(start + height, rows))


def _last_place(weight: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Distance of each entry to its next neighbour away from zero, float32; `value` is the weight in float32."""
    return neighbour(weight, 1).float().sub_(value).abs_()
