"""What the slots and the directions take of the device, tensor by tensor, as the vLLM worker makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from engine.directions.dense import PIECE
from engine.directions.kept import sample_bytes
from engine.directions.learned import draws_ahead
from engine.directions.low_rank import coordinates
from engine.directions.philox import QUANTILES
from engine.directions.space import Space
from engine.estimators.probing import Probing
from engine.models.experts import GATED, dense
from engine.models.weights import Matrix
from engine.runtimes.vllm.capacity import adapter_rank
from engine.runtimes.vllm.worker.factors import Plan, Slice
from engine.updates.base import Rule, state_numbers, working_bytes

_PACKED = ({"q_proj", "k_proj", "v_proj"}, *GATED)  # what vLLM's models have as one layer


@dataclass(frozen=True)
class Factors:
    """Bytes, a term for each kind of tensor."""

    public: int  # vLLM's own slots: A and B of two adapters
    learned: int  # U_acc
    drawn: int  # U of a pass's directions, and of the next pass's where they are drawn ahead
    update: int  # the state of the update rule
    v: int
    a: int  # of all layers; of cores, P with it
    b: int  # of all layers and every sign
    sign: int  # what B is written from; on a GPU, of cores, U that they are compared by at the start
    table: int  # on a GPU, that normals are looked up in
    samples: int  # that tell how much of an update was kept

    @property
    def total(self) -> int:
        """All of them."""
        return sum(astuple(self))


def factor_bytes(
    matrices: Sequence[Matrix],
    *,
    space: Space,
    rule: Rule,
    probing: Probing,
    signs: int,
    size: int,
    on_gpu: bool,
    moving: Sequence[Matrix] = (),
) -> Factors:
    """For such directions, passes of `signs` probes, and weights of `size` bytes an element.

    `moving`: what moves in place, of dense directions.
    """
    if space.coordinates == "dense":
        return _dense_bytes(matrices, moving, size, on_gpu)
    rank, shards = space.rank, probing.shards
    rows, cols = (sum(getattr(m, side) for m in matrices) for side in ("rows", "cols"))
    at_once = shards * (max(1, signs // 2) if probing.sides == "two" else signs)
    is_core = space.coordinates == "core"
    plan = Plan(_slices(matrices), rank, on_gpu, shards, is_core=is_core)
    numbers = sum(a * b for a, b in coordinates(matrices, space))
    left = rows * rank * 4 if is_core else 0
    return Factors(
        public=2 * adapter_rank(rank) * sum(m.rows + m.cols for m in dense(matrices)) * size,
        learned=numbers * 4 + left,
        drawn=at_once * (2 if draws_ahead(numbers, at_once) else 1) * numbers * 4,
        update=state_numbers(rule) * numbers * 4 + working_bytes(rule, numbers),
        v=cols * rank * 4 * (1 if space.moves_weights or space.own_a else 2),  # of an adapter, A by itself as well
        a=(plan.a_size * (signs * shards if space.own_a else 1) + plan.left_size) * size,
        b=signs * plan.b_size * size,
        sign=numbers * 4 + (left if on_gpu else 0),
        table=4 * QUANTILES if on_gpu else 0,
        samples=sample_bytes(rank, len(matrices)) if space.moves_weights else 0,
    )


def spread_width(matrices: Sequence[Matrix], space: Space, shards: int, on_gpu: bool) -> int:
    """Numbers that a pass on a GPU has of each token, beside its activations, while a layer adds what shards add.

    What A gives is spread over the columns of all shards, zeros in all but the token's own; where A moves, every token
    has that of each shard first, and once more with the zeros. On a CPU each shard's tokens have their own. Of cores
    there is what they give, of every token, before it is lifted.
    """
    is_core = space.coordinates == "core"
    if not on_gpu or space.coordinates == "dense" or (shards == 1 and not is_core):
        return 0
    plan = Plan(_slices(dense(matrices)), space.rank, on_gpu, shards, is_core=is_core)
    spread = shards * (plan.widest + (2 * plan.columns if space.own_a else 0)) if shards > 1 else 0
    return spread + (plan.columns if is_core else 0)


def _dense_bytes(matrices: Sequence[Matrix], moving: Sequence[Matrix], size: int, on_gpu: bool) -> Factors:
    """Of directions that are drawn piece by piece: two pieces, and on a CPU a weight as it is before it is packed."""
    largest = max((sum(m.rows for m in layer) * layer[0].cols for layer in packed_layers(dense(matrices))), default=0)
    return Factors(
        public=2 * adapter_rank(1) * sum(m.rows + m.cols for m in dense(matrices)) * size,
        learned=0, drawn=2 * PIECE * 4, update=0, v=0, a=0, b=0,
        sign=0 if on_gpu else largest * size,
        table=4 * QUANTILES if on_gpu else 0,
        samples=sample_bytes(1, len(moving)),
    )  # fmt: skip


def loop_bytes(matrices: Sequence[Matrix], moving: Sequence[Matrix], space: Space, rule: Rule) -> int:
    """What directions take in the conventional loop; an adapter with them."""
    if space.coordinates == "dense":
        return 2 * PIECE * 4 + sample_bytes(1, len(moving))
    numbers = sum(a * b for a, b in coordinates(matrices, space))
    cols = space.rank * sum(m.cols for m in matrices)
    held = numbers * (2 + state_numbers(rule)) + cols * (1 if space.moves_weights or space.own_a else 2)
    return held * 4 + (sample_bytes(space.rank, len(matrices)) if space.moves_weights else 0)


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
