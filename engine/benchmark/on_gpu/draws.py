"""Does the device draw and fold as the CPU does, to the last bit? Then a journal replays anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.benchmark.on_gpu.results import Found, verdict
from engine.benchmark.on_gpu.settings import Settings

if TYPE_CHECKING:
    import torch

    from engine.directions.fold import FoldMode
    from engine.models.weights import Matrix

# (rows, columns): of OPT-13B and OPT-1.3B, and sides that no block of threads divides.
_SHAPES = ((20480, 5120), (5120, 20480), (2048, 2048), (1000, 333), (1, 7))
_SMALL_SHAPES = ((200, 64), (64, 33), (1, 7))
_RANKS = (1, 2, 8)
_MODES: tuple[FoldMode, ...] = ("residual", "stochastic", "nearest")


def compare(settings: Settings, folder: Path) -> Found:
    """U and V of matrices of several shapes, drawn on both."""
    import torch

    from engine.models.weights import Matrix

    device, cpu = torch.device(settings.device), torch.device("cpu")
    numbers = different = 0
    worst = 0.0
    shapes = _SMALL_SHAPES if settings.small else _SHAPES
    for number, (rows, cols) in enumerate(shapes):
        matrix = Matrix(f"model.layers.{number}.fc1.weight", rows, cols)
        for rank in _RANKS:
            for here, there in zip(drawn(matrix, rank, device), drawn(matrix, rank, cpu), strict=True):
                here = here.cpu()
                numbers += here.numel()
                different += int((here.view(torch.int32) != there.view(torch.int32)).sum())
                worst = max(worst, float((here - there).abs().max()))
    same = "the same to the last bit" if not different else f"{different:,} differ, by up to {worst:.2g}"
    text = f"{numbers:,} numbers drawn on {settings.device} and on the CPU: {same}"
    wrong = [
        f"{mode} of {dtype}"
        for mode in _MODES
        for dtype in (torch.float16, torch.bfloat16)
        for rows, cols in shapes[-3:]
        if not all(
            torch.equal(here, there)
            for here, there in zip(
                folded(Matrix("m", rows, cols), mode, dtype, device),
                folded(Matrix("m", rows, cols), mode, dtype, cpu),
                strict=True,
            )
        )
    ]
    # The processor's sums are those of its BLAS library: most add fused products in order, as the kernel does, not all.
    text += f"; folds that differ: {', '.join(sorted(set(wrong)))}" if wrong else "; folds likewise"
    return verdict(not different, text, numbers=numbers, different=different, worst=worst, folds=wrong)


def drawn(matrix: Matrix, rank: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """U and V of one matrix as a run on `device` draws them: (rows, rank) and (columns, rank), float32."""
    import torch

    from engine.directions.low_rank import directions
    from engine.directions.space import Space

    source = directions("philox", [matrix], Space(rank=rank), 17, device)
    u, v = (torch.empty(side, rank, device=device) for side in (matrix.rows, matrix.cols))
    source.u_into(u.view(-1), step=53, query=1)
    source.v_into(v.view(-1), step=50)
    return u, v


def folded(matrix: Matrix, mode: FoldMode, dtype: torch.dtype, device: torch.device) -> list[torch.Tensor]:
    """A weight, and its residual if there is one, after two folds on `device`; both on the CPU."""
    import torch

    from engine.directions.fold import Fold

    random = torch.Generator().manual_seed(0)
    weight = torch.randn(matrix.rows, matrix.cols, generator=random).mul_(0.02).to(dtype).to(device)
    fold = Fold(matrix, mode, 17, device)
    for step in (50, 100):
        u, v = (torch.randn(side, 2, generator=random).to(device) for side in (matrix.rows, matrix.cols))
        fold.add(weight, fold.residual, u * 1e-4, v, step)
    return [held.cpu() for held in (weight, fold.residual) if held is not None]
