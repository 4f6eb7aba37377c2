"""Does the device draw the directions that the CPU draws, to the last bit? Then a journal replays anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.benchmark.on_gpu.results import Found, verdict
from engine.benchmark.on_gpu.settings import Settings

if TYPE_CHECKING:
    import torch

    from engine.models.weights import Matrix

# (rows, columns): of OPT-13B and OPT-1.3B, and sides that no block of threads divides.
_SHAPES = ((20480, 5120), (5120, 20480), (2048, 2048), (1000, 333), (1, 7))
_RANKS = (1, 2, 8)


def compare(settings: Settings, folder: Path) -> Found:
    """U and V of matrices of several shapes, drawn on both."""
    import torch

    from engine.models.weights import Matrix

    device, cpu = torch.device(settings.device), torch.device("cpu")
    numbers = different = 0
    worst = 0.0
    for number, (rows, cols) in enumerate(_SHAPES):
        matrix = Matrix(f"model.layers.{number}.fc1.weight", rows, cols)
        for rank in _RANKS:
            for here, there in zip(drawn(matrix, rank, device), drawn(matrix, rank, cpu), strict=True):
                here = here.cpu()
                numbers += here.numel()
                different += int((here.view(torch.int32) != there.view(torch.int32)).sum())
                worst = max(worst, float((here - there).abs().max()))
    same = "the same to the last bit" if not different else f"{different:,} differ, by up to {worst:.2g}"
    text = f"{numbers:,} numbers drawn on {settings.device} and on the CPU: {same}"
    return verdict(not different, text, numbers=numbers, different=different, worst=worst)


def drawn(matrix: Matrix, rank: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """U and V of one matrix as a run on `device` draws them: (rows, rank) and (columns, rank), float32."""
    from engine.directions.low_rank import draw_u, draw_v

    return (
        draw_u(matrix, rank, seed=17, step=53, query=1, device=device),
        draw_v(matrix, rank, seed=17, step=50, device=device),
    )
