"""What the slots and the directions take of the device, tensor by tensor, as the vLLM worker makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from engine.directions.kept import sample_bytes
from engine.models.weights import Matrix
from engine.runtimes.vllm.capacity import adapter_rank
from engine.runtimes.vllm.worker import layers, slots

_PACKED = ({"q_proj", "k_proj", "v_proj"}, {"gate_proj", "up_proj"})  # what vLLM's models have as one layer


@dataclass(frozen=True)
class Factors:
    """Bytes, a term for each kind of tensor."""

    public: int  # vLLM's own slots: A and B of two adapters
    learned: int  # U_acc
    drawn: int  # U of a pass's queries, and of the next pass's where they are drawn ahead
    v: int
    slots: int  # B of every sign, flat
    shared_a: int  # of every layer, that of all its matrices in one
    shared_b: int  # of every sign and of the layers whose matrices share a product, in one
    samples: int  # that tell how much of an update was kept

    @property
    def total(self) -> int:
        """All of them."""
        return sum(astuple(self))


def factor_bytes(matrices: Sequence[Matrix], *, rank: int, signs: int, size: int) -> Factors:
    """For directions of `rank`, passes of `signs` probes, and weights of `size` bytes an element."""
    rows, cols = (sum(getattr(m, side) for m in matrices) for side in ("rows", "cols"))
    queries = max(1, signs // 2)
    ahead = 2 if 4 * rows * rank * queries <= slots._AHEAD else 1
    packed = packed_layers(matrices)
    together = [layer for layer in packed if rank * len(layer) <= layers._TOGETHER]
    return Factors(
        public=2 * adapter_rank(rank) * (rows + cols) * size,
        learned=rows * rank * 4,
        drawn=queries * ahead * rows * rank * 4,
        v=cols * rank * 4,
        slots=signs * rows * rank * size,
        shared_a=sum(rank * len(layer) * layer[0].cols for layer in packed) * size,
        shared_b=signs * sum(rank * len(layer) * sum(m.rows for m in layer) for layer in together) * size,
        samples=sample_bytes(rank) * len(matrices),
    )


def packed_layers(matrices: Sequence[Matrix]) -> list[list[Matrix]]:
    """The matrices by the layers that vLLM has of them: those of attention's inputs in one, for one."""
    found: dict[tuple[str, str], list[Matrix]] = {}
    for matrix in matrices:
        parent, _, own = matrix.name.removesuffix(".weight").rpartition(".")
        kind = next((min(names) for names in _PACKED if own in names), own)
        found.setdefault((parent, kind), []).append(matrix)
    return list(found.values())
