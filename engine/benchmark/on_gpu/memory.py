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
        return sum(gpu.memory_used for gpu in gpus.read()) if gpus else 0

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
        held = _now(settings)
        for step in (1, 2, 3):  # an ordinary pass and its recording, replays
            side.take("vllm", step)
        side.take("fold", 4)
    # What torch has taken of the device for good: freed blocks, and what recorded passes have, are in it.
    taken = _reserved(settings)
    libraries = max(0, used() - others - taken) if gpus else 0
    estimate = side.fit.memory
    expected = estimate.total - estimate.libraries
    figures = {
        "estimated": {"total": estimate.total, **estimate.parts},
        "taken": {
            "total": taken + libraries,
            "held from the start": held,
            "by torch in the end": taken,
            "CUDA and libraries, by the driver": libraries,
        },
        "estimated alike": {
            "total": estimate.total,
            "held from the start": expected - estimate.passing - estimate.recordings,
            "by torch in the end": expected,
            "CUDA and libraries, by the driver": estimate.libraries,
        },
    }
    told = f"torch took {taken / _GiB:.2f} GiB, estimated {expected / _GiB:.2f} GiB"
    told += f"; CUDA and libraries {libraries / _GiB:.2f}, estimated {estimate.libraries / _GiB:.2f} GiB"
    if settings.device == "cpu":
        return verdict(True, f"{told} (resident memory: not judged on a CPU)", **figures)
    if not taken:
        return verdict(True, f"{told} (torch counts no memory here: not judged)", **figures)
    off = taken / expected - 1
    return verdict(abs(off) <= _TOLERANCE, f"{told}: torch's {off:+.1%}", **figures, off=off)


def _device(settings: Settings) -> str:
    from engine.preflight.choose import choose_device

    return choose_device(settings.device)


def _now(settings: Settings) -> int:
    """Bytes that are held now."""
    if settings.device == "cpu":
        import psutil

        return int(psutil.Process().memory_info().rss)
    import torch

    return torch.cuda.memory_allocated()


def _reserved(settings: Settings) -> int:
    """The most that torch took of the device."""
    if settings.device == "cpu":
        return _now(settings)
    import torch

    return torch.cuda.max_memory_reserved()
