"""What a run takes of its device's memory, part by part: one estimate for the check and for the log."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from engine.directions.fold import RESIDUAL_BYTES, FoldMode
from engine.directions.kept import sample_bytes
from engine.models.facts import ModelFacts, dtype_of
from engine.preset.method import Method
from engine.runtimes.base import EVALUATION_SEQUENCES, Needs
from engine.runtimes.vllm.capacity import adapter_rank, block_size, plan_capacity, with_padding, with_prompt
from engine.text import in_bytes

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
    facts: ModelFacts, needs: Needs, method: Method, *, dtype: str, device: str, runtime: str, fold: FoldMode
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
