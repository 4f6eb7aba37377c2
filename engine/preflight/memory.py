"""What a run takes of its device's memory and of the host's, part by part: one estimate for check and log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from engine.directions.fold import RESIDUAL_BYTES, FoldMode, residual_size
from engine.directions.intervals import most_intervals
from engine.directions.low_rank import coordinates
from engine.directions.space import space_of
from engine.directions.staging import PLACES, pinned_bytes
from engine.models.experts import dense, of_expert
from engine.models.facts import ModelFacts, dtype_of
from engine.models.streamed import PIECE
from engine.models.weights import Matrix
from engine.preflight.factors import factor_bytes, loop_bytes, packed_layers, spread_width
from engine.preset.method import Method
from engine.runtimes.base import EVALUATION_SEQUENCES, Needs
from engine.runtimes.vllm.capacity import block_size, plan_capacity, with_padding, with_prompt
from engine.text import in_bytes
from engine.updates.base import rule_of

_LIBRARIES = 2**30  # bytes of the host that torch, transformers and vLLM themselves take
# Of a GPU: CUDA's context and the code of the kernels, some 0.5 GiB, the workspaces of cuBLAS, and what the allocator
# rounds up. An estimate, never measured; less on old cards and more on new ones.
_LIBRARIES_ON_GPU = 7 * 2**30 // 10
_RECORDINGS = 2**27  # bytes of the kernels that CUDA graphs list, 32 of them with 4 MiB each: an estimate, as well
_WARM_UP_ROWS = 512  # of logits, that vLLM asks for at its start on a CPU, and that are made at a time
# Of a logit that vLLM's sampler has at once, when it is tried at the start: float32 twice, an index of 8, and the
# probabilities, their sum and what they are put back into. Of each logit beside it, in the head.
_SAMPLED = 28
_HEAD = 12


class _Parts:
    """What `Memory` and `Host` have in common: bytes by what takes them, named by `_WORDS`."""

    _WORDS: ClassVar[dict[str, str]]

    @property
    def total(self) -> int:
        """All of it."""
        return sum(getattr(self, name) for name in self._WORDS)

    @property
    def parts(self) -> dict[str, int]:
        """The bytes by what takes them, in words; what takes none is left out."""
        sizes = {words: getattr(self, name) for name, words in self._WORDS.items()}
        return {words: size for words, size in sizes.items() if size}

    def __str__(self) -> str:
        named = ", ".join(f"{words} {in_bytes(size)}" for words, size in self.parts.items())
        return f"{in_bytes(self.total)} in all ({named})"


@dataclass(frozen=True)
class Memory(_Parts):
    """Bytes of the device, by what takes them."""

    _WORDS = {
        "weights": "weights",
        "copies": "plain copies of those that vLLM packs",
        "kept": "what moves, kept beside what a probe moves",
        "residuals": "residuals",
        "staged": "what a fold has on its way",
        "kv": "KV space, which vLLM takes at its start",
        "directions": "slots and directions",
        "intervals": "what intervals learned, for checkpoints",
        "passing": "activations and logits",
        "recordings": "recorded passes",
        "libraries": "libraries",
    }

    weights: int
    copies: int  # of the weights in scope, plain beside those that vLLM packs on a CPU
    residuals: int
    staged: int  # residuals of some matrices on their way, where they lie in the host's memory
    kv: int  # vLLM takes this once, at its start
    directions: int  # slots, U_acc, V and the directions of this pass and the next; see `factor_bytes`
    passing: int  # activations of the widest layer, and logits
    recordings: int = 0  # passes as CUDA graphs: activations of their own
    libraries: int = _LIBRARIES
    kept: int = 0  # what moves in place, as it is without a probe: of weights that are packed, the plain copies
    intervals: int = 0  # in the end

    def without_copies(self) -> Memory:
        """What it is where there is no room for plain copies."""
        return replace(self, copies=0)


@dataclass(frozen=True)
class Host(_Parts):
    """Bytes of the host's memory, for a run on a GPU; on a CPU the device's memory is the host's."""

    _WORDS = {
        "residuals": "residuals",
        "piece": "a piece of a checkpoint, which is written so",
        "intervals": "what intervals learned, for checkpoints",
        "libraries": "libraries",
    }

    residuals: int  # pinned: never swapped out
    piece: int  # of a tensor, on its way into a checkpoint
    libraries: int = _LIBRARIES
    intervals: int = 0  # in the end


def estimate_memory(
    facts: ModelFacts,
    needs: Needs,
    method: Method,
    *,
    dtype: str,
    device: str,
    runtime: str,
    fold: FoldMode,
    graphs: bool = True,
) -> Memory:
    """The estimate, with copies on a CPU: whoever has no room for them does without.

    `graphs`: whether passes may be recorded on a GPU.
    """
    size, on_cpu, space = dtype_of(dtype).itemsize, device == "cpu", space_of(method)
    weights = facts.parameters * size
    moving = facts.moving
    largest = max((m.rows * m.cols for m in moving), default=0)
    in_place = space.coordinates == "dense"
    libraries = _LIBRARIES if on_cpu else _LIBRARIES_ON_GPU
    if runtime == "training-loop":
        widest = max((m.rows for m in facts.matrices), default=0)
        tokens = max(needs.batch * (needs.step_options or needs.options), EVALUATION_SEQUENCES) * needs.longest
        piece = 0 if in_place else largest * 8  # of a direction, as large as the matrix it is added to
        passing = piece + tokens * (facts.vocabulary + 3 * widest) * size
        return Memory(
            weights=weights, copies=0, residuals=0, staged=0, kv=0, passing=passing,
            directions=loop_bytes(facts.matrices, moving, space, rule_of(method)),
            libraries=libraries,
        )  # fmt: skip
    block = block_size(device)
    plan = plan_capacity(needs, block)
    room = with_prompt(with_padding(plan, block), facts.context, block)
    width = activation_width(facts.matrices, device, facts.experts_per_token)
    width += spread_width(facts.matrices, space, needs.probing.shards, not on_cpu)
    activations = room.tokens * width * size
    if on_cpu:
        logits = max(_WARM_UP_ROWS, plan.sequences) * (size + _HEAD)
    else:
        ours = 0 if needs.option_tokens == 1 else min(_WARM_UP_ROWS, plan.tokens) * (size + _HEAD)
        logits = max(room.sequences * (size + _SAMPLED), ours)
    return Memory(
        weights=weights,
        copies=sum(m.rows * m.cols for m in dense(moving)) * size if on_cpu and not in_place else 0,
        kept=sum(m.rows * m.cols for m in moving) * size if in_place else 0,
        residuals=residual_bytes(facts, runtime=runtime, fold=fold) if fold == "residual" else 0,
        staged=min(PLACES, len(moving)) * RESIDUAL_BYTES * largest if fold == "host-residual" else 0,
        kv=room.blocks * block * facts.kv_bytes_per_token(dtype),
        directions=factor_bytes(
            facts.matrices,
            space=space,
            rule=rule_of(method),
            probing=needs.probing,
            signs=plan.signs,
            size=size,
            on_gpu=not on_cpu,
            moving=moving,
        ).total,
        intervals=interval_bytes(facts, needs, method, dtype=dtype, device=device, runtime=runtime, fold=fold)
        if on_cpu
        else 0,
        passing=activations + facts.vocabulary * logits,
        recordings=activations + _RECORDINGS if graphs and not on_cpu else 0,
        libraries=libraries,
    )


def estimate_host(
    facts: ModelFacts, needs: Needs, method: Method, *, dtype: str, device: str, runtime: str, fold: FoldMode
) -> Host:
    """What a run on a GPU takes of the host's memory; nothing on a CPU, where it is in the other estimate."""
    if device == "cpu":
        return Host(0, 0, 0)
    pinned = pinned_bytes(facts.moving) if fold == "host-residual" else 0
    intervals = interval_bytes(facts, needs, method, dtype=dtype, device=device, runtime=runtime, fold=fold)
    return Host(pinned, PIECE, intervals=intervals)


def interval_bytes(
    facts: ModelFacts, needs: Needs, method: Method, *, dtype: str, device: str, runtime: str, fold: FoldMode
) -> int:
    """What is held of intervals at most, in bytes; where that is of all of them, a checkpoint is as large."""
    space = space_of(method)
    if runtime != "vllm" or space.coordinates == "dense" or not space.moves_weights:
        return 0
    learned = sum(a * b for a, b in coordinates(facts.matrices, space))
    entries = sum(m.rows * m.cols for m in facts.moving)
    size = dtype_of(dtype).itemsize + residual_size(fold)
    most = most_intervals(learned, entries, size, on_gpu=device != "cpu")
    return 4 * learned * min(needs.intervals, most)


def activation_width(matrices: Sequence[Matrix], device: str, experts_per_token: int = 0) -> int:
    """Numbers that a pass has at once of each token: between the two halves of an MLP, where it has the most."""
    if not matrices:
        return 0
    if experts := [matrix for matrix in matrices if of_expert(matrix.name)]:
        down = experts[-1]
        # In the first half what goes in, what comes out and what is added to that; in the second likewise. And the
        # hidden states, as below.
        of_experts = experts_per_token * max(down.rows + 4 * down.cols, down.cols + 2 * down.rows) + 4 * down.rows
        return max(of_experts, activation_width(dense(matrices), device))
    wide = max(sum(m.rows for m in layer) for layer in packed_layers(matrices))
    hidden, inner = min(m.cols for m in matrices), max(m.cols for m in matrices)
    gated = device == "cpu" and wide >= 2 * inner  # what a GPU's kernel puts out at once, a CPU makes in two steps
    # What comes from the first half, what goes into the second; and the hidden states, theirs before the block, before
    # the norm and after it.
    return wide + (2 if gated else 1) * inner + 4 * hidden


def residual_bytes(facts: ModelFacts, *, runtime: str, fold: FoldMode) -> int:
    """What the residuals are, in bytes, wherever they lie: in a checkpoint, as many."""
    return residual_size(fold) * sum(m.rows * m.cols for m in facts.moving) if runtime == "vllm" else 0
