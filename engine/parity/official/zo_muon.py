"""ZO-Muon's trainer (OPTML-Group/ZO-Muon, llm/LowDimTrainer.py): probes in a subspace, an orthogonalised step.

For a matrix W (rows x cols), in a pass of seed s:

    where k % interval == 0:  P = Q sign(diag R), Q R = qr(A), A ~ N(0, 1)^{rows x r}, drawn anew in every pass
    u ~ N(0, 1)^{r x cols};  probed along P u
    G = mean_i g_i u_i;  D = P msign(G), or P G;  W <- W - lr (D + wd W)

Vectors are probed along Z ~ N(0, 1) and move at a rate of their own, 1e-7. P is the one that the last pass left: on one
side, where an interval begins, every query probes in a subspace of its own and all are lifted by the last one's.

msign(G) is U V^T of the thin singular value decomposition U S V^T, or five Newton-Schulz iterations towards it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from engine.parity.compare import StepTaken, two_sided
from engine.parity.official.draws import decays, probe_both_sides, reseeded
from engine.parity.recording import RecordedStep, Trajectory
from engine.parity.weights import Weights

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class ZoMuon:
    """Takes ZO-Muon's steps."""

    def __init__(self, trajectory: Trajectory, weights: Weights) -> None:
        self._trajectory, self._weights, self._method = trajectory, weights, trajectory.method
        assert self._method.rank and self._method.interval
        self._rank, self._interval = self._method.rank, self._method.interval
        self._bases: dict[str, torch.Tensor] = {}  # P as the last probing pass left it, (rows, rank)

    def take(self, step: RecordedStep) -> StepTaken:
        if self._method.sided == "two":
            plus, minus, g = probe_both_sides(
                self._weights, lambda: self._probed(step.step, step.seed), self._method.eps, step.examples
            )
            self._update(step, [step.seed], [g])
            return two_sided(plus, minus, g)
        eps, seeds = self._method.eps, step.seeds or []
        base = self._weights.loss(step.examples)
        losses = []
        for seed in seeds:
            self._weights.move(self._probed(step.step, seed), eps)
            losses.append(self._weights.loss(step.examples))
            self._weights.move(self._probed(step.step, seed), -eps)
        coefficients = [(loss - base) / eps for loss in losses]
        self._update(step, list(seeds), coefficients)
        return StepTaken({"loss_base": base, "losses": losses}, {"coefficients": coefficients})

    def _update(self, step: RecordedStep, seeds: list[int | None], coefficients: list[float]) -> None:
        lr, decay = self._trajectory.rate(step), self._method.weight_decay
        means: dict[str, torch.Tensor] = {}
        for seed, coefficient in zip(seeds, coefficients, strict=True):
            for name, _, drawn in self._pass(step.step, seed):
                part = coefficient / len(seeds) * drawn
                means[name] = means[name] + part if name in means else part
        for name, mean in means.items():
            weight = self._weights.tensors[name]
            matrix = weight.ndim > 1
            change = self._bases[name] @ self._orthogonalised(mean) if matrix else mean
            if decays(name):
                change = change + decay * weight
            weight.sub_((lr if matrix else self._method.lr_vectors) * change)

    def _orthogonalised(self, mean: torch.Tensor) -> torch.Tensor:
        if self._method.update == "plain":
            return mean
        return newton_schulz(mean) if self._method.update == "newton-schulz" else polar(mean)

    def _probed(self, step: int, seed: int | None) -> Iterator[tuple[str, torch.Tensor]]:
        """The directions of a probing pass, which draws the bases that an interval begins with."""
        for name, start, drawn in self._pass(step, seed):
            if start is not None:
                self._bases[name] = basis(start)
            yield name, self._bases[name] @ drawn if drawn.ndim > 1 else drawn

    def _pass(self, step: int, seed: int | None) -> Iterator[tuple[str, torch.Tensor | None, torch.Tensor]]:
        """Of every parameter: A where an interval begins, and u, or Z."""
        generator = reseeded(seed)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator, dtype=self._weights.dtype)

        for name, shape in self._weights.shapes:
            if len(shape) < 2:
                yield name, None, normal(*shape)
            else:
                start = normal(shape[0], self._rank) if step % self._interval == 0 else None
                yield name, start, normal(self._rank, shape[1])


def basis(start: torch.Tensor) -> torch.Tensor:
    """An orthonormal basis of A's columns (rows x r), unique: R's diagonal is made positive."""
    q, r = torch.linalg.qr(start.float())
    return (q * torch.where(r.diagonal() < 0, -1.0, 1.0)).to(start.dtype)


def newton_schulz(matrix: torch.Tensor) -> torch.Tensor:
    """Towards msign, in float32: X <- a X + (b A + c A A) X with A = X X^T, from X of Frobenius norm 1."""
    a, b, c = _NEWTON_SCHULZ
    x = matrix.float()
    x = x / (x.norm() + 1e-7)
    if tall := x.shape[0] > x.shape[1]:
        x = x.T
    for _ in range(5):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)


def polar(matrix: torch.Tensor) -> torch.Tensor:
    """msign: U V^T of the thin singular value decomposition."""
    u, _, vt = torch.linalg.svd(matrix.float(), full_matrices=False)
    return (u @ vt).to(matrix.dtype)
