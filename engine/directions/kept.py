"""How much of the intended update is in the weights: 'update kept', from a sample of their entries.

intended is the sum of all updates since the run began (or was resumed from a checkpoint), in float64;
applied is how far the entries have really moved. Kept is <applied, intended> / |intended|^2: 1 if the
update is there, whatever noise lies over it; the cosine of the two tells the noise as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from engine.directions import gpu
from engine.directions.fold import state
from engine.directions.keyed import keyed_generator
from engine.models.weights import Matrix

# Entries of each matrix. With a cosine of 0.3, as stochastic rounding has, twelve matrices give the kept
# share to about 1.5%, and 240, as OPT-13B has, to 0.3%; the cosine they give to 0.005.
_SAMPLED = 4096
_FACTORS = 2**16  # numbers of U_acc held for them: at a high rank, fewer entries
_MANY = 1024  # matrices, up to which each has so many: the experts of a mixture may be twenty times as many


@dataclass(frozen=True)
class UpdateKept:
    """The share of the intended update that was applied, and the cosine of the two."""

    kept: float
    cosine: float


class Sample:
    """Entries of one matrix, the same ones all through a run: drawn with replacement, by seed and name."""

    def __init__(self, matrix: Matrix, rank: int, seed: int, device: torch.device, of: int = 1) -> None:
        """`of`: how many matrices are sampled; of none there are no entries."""
        self._on_gpu = gpu.runs_kernels(device)
        generator = keyed_generator(f"{seed}/kept/{matrix.name}", device)
        count, self._width = _entries(rank, of), matrix.cols
        self._rows = torch.randint(matrix.rows, (count,), generator=generator, device=device)
        self._cols = torch.randint(matrix.cols, (count,), generator=generator, device=device)
        self._learned = torch.zeros(count, rank, dtype=torch.float64, device=device)
        self._intended = torch.zeros(count, dtype=torch.float64, device=device)
        self.restart()

    def restart(self) -> None:
        """Forget everything: the next `begin` is the start."""
        self._start: torch.Tensor | None = None
        self._learned.zero_()
        self._intended.zero_()
        self.sums: torch.Tensor | None = None  # of the last comparison; left where it was computed

    def folded(self, u: torch.Tensor, v: torch.Tensor, weight: torch.Tensor, residual: torch.Tensor | None) -> None:
        """u v^T, of (rows, r) and (cols, r), was added to the weight: see how much of it is there."""
        if not self._on_gpu:
            self.learn(u, 1.0)
            self.compare(v, weight, residual)
            return
        from engine.directions import kernels

        assert self._start is not None, "begin comes first"
        if self.sums is None:
            self.sums = torch.empty(3, dtype=torch.float64, device=self._start.device)
        kernels.compare(self.sums, self._intended, self._start, self._rows, self._cols, u, v, weight, residual)

    @property
    def begun(self) -> bool:
        """Whether there is a start."""
        return self._start is not None

    def begin(self, weight: torch.Tensor, residual: torch.Tensor | None = None) -> None:
        """Take the entries as they are as the start, unless there is one already."""
        if self._start is None and self._on_gpu and weight.is_contiguous():  # what is transposed is not
            from engine.directions import kernels

            self._start = torch.empty_like(self._intended)
            kernels.pick(self._start, self._rows, self._cols, weight, residual)
        elif self._start is None:
            self._start = self._pick(weight, residual)

    def learn(self, u: torch.Tensor, scale: float) -> None:
        """scale u v^T is to be added to the weight, with the v that the next `compare` brings. u: (rows, r)."""
        self._learned.add_(u[self._rows], alpha=scale)

    def intend(self, first: int, change: torch.Tensor) -> None:
        """`change`, flat, is to be added to as many entries from the `first` on, row by row."""
        places = self._rows * self._width + self._cols - first
        here = (places >= 0) & (places < len(change))
        found = change[places.clamp(0, len(change) - 1)].double()
        self._intended.add_(torch.where(here, found, 0.0))

    def compare(self, v: torch.Tensor, weight: torch.Tensor, residual: torch.Tensor | None = None) -> None:
        """The weight is up to date with all that was learned with v, (cols, r): see how much of it is there."""
        self._intended += (self._learned * v[self._cols]).sum(1)
        self._learned.zero_()
        self.measure(weight, residual)

    def measure(self, weight: torch.Tensor, residual: torch.Tensor | None = None) -> None:
        """See how much is in the weight of what was intended."""
        assert self._start is not None, "begin comes first"
        applied = self._pick(weight, residual) - self._start
        intended = self._intended
        self.sums = torch.stack([applied @ intended, intended @ intended, applied @ applied])

    def _pick(self, weight: torch.Tensor, residual: torch.Tensor | None) -> torch.Tensor:
        picked = None if residual is None else residual[self._rows, self._cols]
        return state(weight[self._rows, self._cols], picked).double()


def sample_bytes(rank: int, matrices: int) -> int:
    """What the samples of so many matrices take."""
    # Row, column, start and intended update of every entry, and its factors.
    return matrices * _entries(rank, matrices) * 8 * (4 + rank)


def _entries(rank: int, matrices: int) -> int:
    if not matrices:
        return 0
    each = max(256, min(_SAMPLED, _FACTORS // rank))
    return max(32, each * _MANY // max(_MANY, matrices))


def update_kept(samples: Iterable[Sample]) -> UpdateKept | None:
    """The figure over all matrices; None as long as nothing was to change."""
    sums = [sample.sums for sample in samples if sample.sums is not None]
    if not sums:
        return None
    dot, intended, applied = torch.stack(sums).sum(0).tolist()
    if not (intended > 0 and math.isfinite(dot + intended + applied)):
        return None
    return UpdateKept(dot / intended, dot / math.sqrt(intended * applied) if applied else 0.0)
