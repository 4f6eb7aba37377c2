"""How much memory a run takes of the card, beside what it was estimated to take."""

from __future__ import annotations

import tempfile
from pathlib import Path

from engine.benchmark.on_gpu.results import Found, Skipped, verdict
from engine.benchmark.on_gpu.settings import Settings, demo_folder
from engine.errors import UserError
from engine.gpus import mask_gpus
from engine.models.known_shapes import SHAPES, write_shape

_GiB = 2**30
_TOLERANCE = 0.05  # of the estimate


def weigh(settings: Settings, folder: Path, *, of: str, size: int) -> Found:
    """Open vLLM at a shape, take steps and a fold, and ask torch and the driver what that took.

    What can be told apart from outside: what is held from the start (weights, residuals, KV space, slots), what a
    step or a fold takes for a while, and what CUDA and the libraries take by themselves. Raises `Skipped` where it
    does not fit the card.
    """
    from engine.benchmark.side import Config, Vllm
    from engine.clients.telemetry import Gpus

    gpus = None if settings.device == "cpu" else Gpus.open(mask_gpus(settings.device))

    def used() -> int:
        """Bytes of the card that all processes have."""
        return gpus.read()[0].memory_used if gpus else 0

    others = used()
    with tempfile.TemporaryDirectory() as aside:
        model = str(write_shape(of, Path(aside))) if of in SHAPES else str(demo_folder())
        config = Config(
            side="vllm", model=model, random_weights=of in SHAPES, dtype=settings.dtype, device=_device(settings),
            batch_size=size, options=2, option_tokens=1, length=None, rank=2, queries=1,
        )  # fmt: skip
        try:
            side = Vllm(config)
        except UserError as why:
            raise Skipped(str(why)) from None
        held, starting = _now(settings)
        for step in (1, 2):
            side.take("vllm", step)
        stepping = side.peak(lambda: side.take("vllm", 3)).bytes
        folding = side.peak(lambda: side.take("fold", 4)).bytes
    reserved = _reserved(settings)
    libraries = max(0, used() - others - reserved) if gpus else 0
    peak = max(starting, stepping, folding)
    estimate = side.fit.memory
    figures = {
        "estimated": {"total": estimate.total, **estimate.parts},
        "taken": {
            "total": peak + libraries,
            "held from the start": held,
            "peak of the start": starting,
            "peak of a step": stepping,
            "peak of a fold": folding,
            "reserved by torch": reserved,
            "CUDA and libraries, by the driver": libraries,
        },
        "estimated alike": {
            "held from the start": estimate.total - estimate.passing - estimate.recordings - estimate.libraries,
            "for a while": estimate.passing + estimate.recordings,
            "libraries": estimate.libraries,
        },
    }
    told = f"taken {(peak + libraries) / _GiB:.2f} GiB, estimated {estimate.total / _GiB:.2f} GiB"
    if settings.device == "cpu":
        return verdict(True, f"{told} (resident memory: not judged on a CPU)", **figures)
    if not peak:
        return verdict(True, f"{told} (torch counts no memory here: not judged)", **figures)
    off = (peak + libraries) / estimate.total - 1
    return verdict(abs(off) <= _TOLERANCE, f"{told}: {off:+.1%}", **figures, off=off)


def _device(settings: Settings) -> str:
    from engine.preflight.choose import choose_device

    return choose_device(settings.device)


def _now(settings: Settings) -> tuple[int, int]:
    """Bytes that are held now, and the most until now."""
    if settings.device == "cpu":
        import psutil

        return (resident := psutil.Process().memory_info().rss), resident
    import torch

    return torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()


def _reserved(settings: Settings) -> int:
    if settings.device == "cpu":
        return 0
    import torch

    return torch.cuda.memory_reserved()
