"""What the slots and the directions take of the device, tensor by tensor, as the vLLM worker makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from engine.directions.kept import sample_bytes
from engine.directions.learned import draws_ahead
from engine.directions.philox import QUANTILES
from engine.models.experts import GATED, dense
from engine.models.weights import Matrix
from engine.runtimes.vllm.capacity import adapter_rank
from engine.runtimes.vllm.worker.factors import Plan, Slice

_PACKED = ({"q_proj", "k_proj", "v_proj"}, *GATED)  # what vLLM's models have as one layer


@dataclass(frozen=True)
class Factors:
    """Bytes, a term for each kind of tensor."""

    public: int  # vLLM's own slots: A and B of two adapters
    learned: int  # U_acc
    drawn: int  # U of a pass's queries, and of the next pass's where they are drawn ahead
    v: int
    a: int  # of all layers
    b: int  # of all layers and every sign
    signs: int  # on a CPU, what B is written from
    table: int  # on a GPU, that normals are looked up in
    samples: int  # that tell how much of an update was kept

    @property
    def total(self) -> int:
        """All of them."""
        return sum(astuple(self))


def factor_bytes(matrices: Sequence[Matrix], *, rank: int, signs: int, size: int, on_gpu: bool) -> Factors:
    """For directions of `rank`, passes of `signs` probes, and weights of `size` bytes an element."""
    rows, cols = (sum(getattr(m, side) for m in matrices) for side in ("rows", "cols"))
    queries = max(1, signs // 2)
    plan = Plan(_slices(matrices), rank, on_gpu)
    return Factors(
        public=2 * adapter_rank(rank) * sum(m.rows + m.cols for m in dense(matrices)) * size,
        learned=rows * rank * 4,
        drawn=queries * (2 if draws_ahead(rows * rank, queries) else 1) * rows * rank * 4,
        v=cols * rank * 4,
        a=plan.a_size * size,
        b=signs * plan.b_size * size,
        signs=0 if on_gpu else signs * rows * rank * size,
        table=4 * QUANTILES if on_gpu else 0,
        samples=sample_bytes(rank, len(matrices)),
    )


def _slices(matrices: Sequence[Matrix]) -> list[Slice]:
    """The matrices as they lie in vLLM's layers."""
    slices = []
    for layer in packed_layers(matrices):
        offset, owner = 0, object()
        for index, matrix in enumerate(layer):
            slices.append(Slice(matrix, owner, index, offset))
            offset += matrix.rows
    return slices


def packed_layers(matrices: Sequence[Matrix]) -> list[list[Matrix]]:
    """The matrices by the layers that vLLM has of them: those of attention's inputs in one, for one."""
    found: dict[tuple[str, str], list[Matrix]] = {}
    for matrix in matrices:
        parent, _, own = matrix.name.removesuffix(".weight").rpartition(".")
        kind = next((min(names) for names in _PACKED if own in names), own)
        found.setdefault((parent, kind), []).append(matrix)
    return list(found.values())
