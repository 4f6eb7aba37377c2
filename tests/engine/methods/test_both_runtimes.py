"""Every method: vLLM takes the steps of the conventional loop, which is the plainest, and each is rebuilt exactly.

Every combination of the pieces, on every layout: `python -m tests.methods`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.environment import prepare_device
from tests.engine.conftest import needs_vllm
from tests.families.models import lacking_here, write_model
from tests.methods.cases import INTERVAL, SHORT

pytestmark = needs_vllm

TOLERANCE = 1e-5  # nats
REMEMBERING = [
    "lozo-m, kept, over shards",
    "grzo, adam-scalar",
    "zo-muon, momentum, two sides",
    "subzero+",
    "kerzoo, two queries of shards",
    "conmezo, kept, two queries of shards",
]  # fmt: skip
"""Of each kind of state, and of probes."""


@pytest.fixture(scope="module")
def engine_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Opens vLLM on a layout in a precision, unless it is open: the one before is closed, for vLLM keeps its groups."""
    prepare_device("cpu")
    opened: dict[tuple[str, str], Any] = {}
    models = tmp_path_factory.mktemp("models")

    def engine_of(layout: str = "llama", dtype: str = "float32") -> Any:
        from tests.methods.compare import BATCH
        from tests.methods.one_engine import OneEngine

        if lacking := lacking_here(layout):
            pytest.skip(lacking)
        if (layout, dtype) not in opened:
            while opened:
                opened.popitem()[1].close()
            opened[layout, dtype] = OneEngine(write_model(layout, models), batch=BATCH, dtype=dtype)
        return opened[layout, dtype]

    yield engine_of
    for engine in opened.values():
        engine.close()


@pytest.mark.parametrize("case", SHORT)
def test_every_loss_of_thirty_steps_and_the_weights_are_those_of_the_conventional_loop(
    engine_of: Any, case: str
) -> None:
    """Through two changes of basis."""
    from tests.methods.compare import apart

    found = apart(engine_of(), case)
    assert found.losses < TOLERANCE
    assert found.weights < TOLERANCE < found.moved / 10


@pytest.mark.parametrize("case", REMEMBERING)
def test_a_checkpoint_and_the_journal_rebuild_the_state_bit_for_bit(engine_of: Any, case: str) -> None:
    from tests.methods.compare import rebuilds

    found = rebuilds(engine_of(), case, INTERVAL)
    assert all(found.values()), found


@pytest.mark.parametrize("changes", [{"weights": "rank"}, {"queries": 3, "shards": 1}])
def test_a_fork_that_probes_or_weighs_otherwise_does_the_steps_before_it_as_they_were(
    engine_of: Any, changes: dict[str, Any]
) -> None:
    from tests.methods.compare import goes_on_otherwise

    found = goes_on_otherwise(engine_of(), "mezo-factorized, shards of signs, centred", **changes)
    assert all(found.values()), found


@pytest.mark.parametrize(
    ("layout", "case"),
    [
        ("qwen3-moe", "grzo, shards that are no divisor, two queries"),
        ("qwen3-moe", "subzero+"),
        ("mixtral", "grzo, shards that are no divisor, two queries"),
    ],
)
def test_experts_of_a_mixture_have_directions_for_shards_and_cores_as_well(
    engine_of: Any, layout: str, case: str
) -> None:
    from tests.methods.compare import apart

    found = apart(engine_of(layout), case, steps=12)
    assert found.losses < TOLERANCE
    assert found.weights < TOLERANCE < found.moved


@pytest.mark.parametrize(
    ("dtype", "batch", "case"),
    [
        ("float32", 40, "grzo, shards that are no divisor, two queries"),
        ("float32", 40, "fzoo over shards"),
        ("bfloat16", 4, "grzo"),
        ("bfloat16", 4, "fzoo over shards"),
        ("bfloat16", 4, "subzero+"),
        ("float16", 4, "fzoo over shards"),
    ],
)
def test_packed_passes_score_shards_and_one_side_as_the_public_api_does(
    engine_of: Any, case: str, dtype: str, batch: int
) -> None:
    """In float32 a batch of ten times the size that passes are for: chunks end within a shard."""
    from tests.methods.compare import packed_as_public

    agreed, worst = packed_as_public(engine_of(dtype=dtype), case, batch, dtype)
    assert agreed, worst
