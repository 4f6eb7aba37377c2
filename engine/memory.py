"""What a run takes of its device's memory, part by part: one estimate for the check and for the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import psutil
import torch

from engine import preset
from engine.capacity import (
    EVALUATION_SEQUENCES,
    adapter_rank,
    block_size,
    plan_capacity,
    with_padding,
    with_prompt,
)
from engine.directions import Matrix
from engine.errors import UserError
from engine.fold import RESIDUAL_BYTES, FoldMode
from engine.model_files import ModelFacts, dtype_of
from engine.runtime import Needs
from engine.update_kept import sample_bytes

_LIBRARIES = 2**30  # bytes that torch, transformers and vLLM themselves take
_WARM_UP_ROWS = 512  # of logits, that vLLM asks for at its start


@dataclass(frozen=True)
class Memory:
    """Bytes, by what takes them."""

    weights: int
    copies: int  # of the weights in scope, plain beside those that vLLM packs on a CPU
    residuals: int
    kv: int  # vLLM takes this once, at its start
    directions: int  # slots, U_acc, V and the directions of this pass and the next
    passing: int  # activations of the widest layer, and logits
    libraries: int = _LIBRARIES

    @property
    def total(self) -> int:
        """All of it."""
        return sum(astuple(self))

    @property
    def parts(self) -> dict[str, int]:
        """The bytes by what takes them, in words; what takes none is left out."""
        parts = {
            "weights": self.weights,
            "plain copies of those that vLLM packs": self.copies,
            "residuals": self.residuals,
            "KV space, which vLLM takes at its start": self.kv,
            "slots and directions": self.directions,
            "activations and logits": self.passing,
            "libraries": self.libraries,
        }
        return {name: size for name, size in parts.items() if size}

    def __str__(self) -> str:
        named = ", ".join(f"{name} {in_bytes(size)}" for name, size in self.parts.items())
        return f"{in_bytes(self.total)} in all ({named})"


def estimate_memory(
    facts: ModelFacts, needs: Needs, method: preset.Method, *, dtype: str, device: str, runtime: str, fold: FoldMode
) -> Memory:
    """The estimate, with copies on a CPU: whoever has no room for them does without."""
    size = dtype_of(dtype).itemsize
    weights = facts.parameters * size
    rows, cols = (sum(getattr(m, side) for m in facts.matrices) for side in ("rows", "cols"))
    factors = (rows + cols) * method.rank
    samples = sample_bytes(method.rank) * len(facts.matrices)
    widest = max((m.rows for m in facts.matrices), default=0)
    if runtime == "training-loop":
        tokens = max(needs.batch * needs.options, EVALUATION_SEQUENCES) * needs.longest
        largest = max((m.rows * m.cols for m in facts.matrices), default=0)
        passing = largest * 8 + tokens * (facts.vocabulary + 3 * widest) * size
        return Memory(weights, 0, 0, 0, factors * 4 + samples, passing)
    block = block_size(device)
    plan = plan_capacity(needs, block)
    room = with_prompt(with_padding(plan, block), facts.context, block)
    # vLLM's own slots, then ours: the signs of a pass, apart and together by layer; U_acc, and the
    # directions of this pass and the next.
    own = 2 * adapter_rank(method.rank) * (rows + cols) * size
    ours = (4 * plan.signs + 2) * factors * size + (1 + plan.signs) * factors * 4
    # What a pass has of its widest layer at once, and the logits of the head, also of vLLM's own warm-up.
    logits = facts.vocabulary * max(_WARM_UP_ROWS, plan.sequences) * (size + 12)
    return Memory(
        weights=weights,
        copies=sum(m.rows * m.cols for m in facts.matrices) * size if device == "cpu" else 0,
        residuals=residual_bytes(facts, runtime=runtime, fold=fold),
        kv=room.blocks * block * facts.kv_bytes_per_token(dtype),
        directions=own + ours + samples,
        passing=3 * plan.tokens * widest * size + logits,
    )


def residual_bytes(facts: ModelFacts, *, runtime: str, fold: FoldMode) -> int:
    """What the residuals beside the weights take, in bytes."""
    if runtime != "vllm" or fold != "residual":
        return 0
    return RESIDUAL_BYTES * sum(m.rows * m.cols for m in facts.matrices)


def available_memory(device: str, limit_gib: float | None) -> int:
    """Bytes that are free on the device now, or `limit_gib` of them."""
    free = psutil.virtual_memory().available if device == "cpu" else torch.cuda.mem_get_info(device)[0]
    return int(free) if limit_gib is None else min(int(free), int(limit_gib * 2**30))


def check_room_aside(matrices: Sequence[Matrix], dtype: torch.dtype) -> None:
    """Raise `UserError` if the host has no memory for the weights of these, to make way for the base model's."""
    needed, free = sum(m.rows * m.cols for m in matrices) * dtype.itemsize, available_memory("cpu", None)
    if needed > free:
        raise UserError(f"the base model cannot be asked: that takes {in_bytes(needed)}, {in_bytes(free)} are free")


def in_bytes(size: int) -> str:
    """A number of bytes for people: `712 B`, `1.4 MiB`, `25.1 GiB`."""
    amount, units = float(size), ["B", "KiB", "MiB", "GiB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    return f"{amount:.0f} {units[0]}" if amount >= 100 or units[0] == "B" else f"{amount:.3g} {units[0]}"
