"""The parts of the estimate that a CPU can tell are what a real vLLM has, by the tensors that are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from engine.directions.fold import FoldMode
from engine.directions.space import Space, space_of
from engine.environment import prepare_device
from engine.estimators.probing import Probing
from engine.models.facts import ModelFacts, dtype_of, read_model
from engine.models.weights import Matrix
from engine.optimizer import probing_of
from engine.preflight.factors import factor_bytes, spread_width
from engine.preflight.memory import activation_width, estimate_memory
from engine.preset.method import Method
from engine.runtimes.base import Needs
from engine.runtimes.vllm.capacity import block_size, plan_capacity
from engine.runtimes.vllm.worker.factors import Slice
from engine.runtimes.vllm.worker.slots import Slots
from engine.tasks.example import Example
from engine.updates.base import Rule, rule_of
from tests.engine.conftest import needs_vllm


def taken(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the memory that these lie in, each counted once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def held(*roots: Any) -> list[torch.Tensor]:
    """Every tensor that these objects of ours hold, whatever its name, short of vLLM's own modules."""
    found, seen, left = [], [], list(roots)
    while left:
        thing = left.pop()
        if any(thing is known for known in seen) or isinstance(thing, torch.nn.Module | type):
            continue
        seen.append(thing)
        if isinstance(thing, torch.Tensor):
            found.append(thing)
        elif isinstance(thing, list | tuple):
            left += thing
        elif isinstance(thing, dict):
            left += thing.values()
        elif type(thing).__module__.startswith("engine.") and hasattr(thing, "__dict__"):
            left.append(vars(thing))
    return found


LOZO = Method()


@pytest.fixture
def open_runtime(tiny_models: dict[str, Path]) -> Iterator[Callable[..., tuple[ModelFacts, Any]]]:
    opened: list[Any] = []

    def open_runtime(layout: str, needs: Needs, method: Method = LOZO, **setting: Any) -> tuple[ModelFacts, Any]:
        prepare_device("cpu")
        from engine.runtimes.vllm.runtime import VllmRuntime
        from engine.runtimes.vllm.support import unadaptable

        facts = read_model(str(tiny_models[layout]), trust_remote_code=False, scope=method.scope)
        assert not unadaptable(facts.architecture)
        opened.append(
            VllmRuntime(
                facts,
                space=space_of(method),
                rule=rule_of(method),
                seed=0,
                needs=needs,
                memory_needed=2**30,
                device="cpu",
                **setting,
            )
        )
        return facts, opened[-1]

    yield open_runtime
    for runtime in opened:
        runtime.close()


@needs_vllm
@pytest.mark.parametrize(
    ("layout", "dtype", "fold", "name", "rank", "queries"),
    [
        ("opt", "float32", "nearest", "lozo", 2, 1),
        ("llama", "bfloat16", "residual", "lozo", 2, 3),
        ("qwen3", "float16", "residual", "lozo", 9, 1),  # three matrices of rank 9 share no product with B
        ("mixtral", "bfloat16", "residual", "lozo", 2, 1),
        ("opt", "float32", "nearest", "mobizo", 8, 1),
        ("llama", "bfloat16", "nearest", "mezo-lora", 8, 2),
        ("llama", "bfloat16", "residual", "subzero", 16, 3),
    ],
)
def test_every_part_is_what_is_there(
    open_runtime: Any, layout: str, dtype: str, fold: FoldMode, name: str, rank: int, queries: int
) -> None:
    method = Method(name=name, rank=rank, queries=queries)  # type: ignore[call-arg]
    probing = probing_of(method, 4)
    needs = Needs(batch=4, longest=70, options=3, option_tokens=3, probing=probing)
    facts, runtime = open_runtime(layout, needs, method, dtype=dtype, fold=fold)
    estimate = estimate_memory(facts, needs, method, dtype=dtype, device="cpu", runtime="vllm", fold=fold)
    batch = [Example(tuple(range(5, 60)), ((7,), (8, 9, 10)), 0)] * 4
    for step in range(3):  # two intervals, and a fold between them
        if step != 1:
            runtime.redraw(step)
        runtime.probe(step, probing, 1e-3, batch)
        runtime.update(step, [1e-3] * probing.directions, 1.0)
    runtime.redraw(3)
    worker = runtime._llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker
    model = worker.model_runner.get_model()
    pieces = worker._zo_slices
    plain = [m.zo_plain_weight for m in model.modules() if hasattr(m, "zo_plain_weight")]
    public = [
        stacked[part]
        for piece in pieces
        for part in piece.parts
        for stacked in (piece.layer.lora_a_stacked, piece.layer.lora_b_stacked)
    ]
    residuals = [piece.state.fold.residual for piece in pieces if fold == "residual"]
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    ours = [
        tensor
        for tensor in held(worker._zo_slots, worker._zo_layers, worker._zo_mixtures)
        if not any(tensor is residual for residual in residuals)
        and tensor.untyped_storage().data_ptr() not in weights  # experts of ours know where theirs are
    ]
    samples = held(*(piece.state.sample for piece in pieces))
    rest = [tensor for tensor in ours if not any(tensor is sample for sample in samples)]
    found = {
        # What vLLM packed cannot be looked into; it is as large as what was packed. What it did not (float16 on
        # many processors) is its own plain copy.
        "weights": taken([*model.parameters(), *plain]),
        "copies": 0 if facts.scope == "adapter" else taken(plain),  # of what is never folded a run has none
        "residuals": taken(residuals),
        "kv": taken(worker.model_runner.kv_caches),
        "directions": taken(public) + taken(ours),
    }
    for part, size in found.items():
        assert getattr(estimate, part) == pytest.approx(size, rel=0.05), part
    signs = plan_capacity(needs, block_size("cpu")).signs
    terms = factor_bytes(
        facts.matrices, space=space_of(method), rule=Rule(), probing=needs.probing, signs=signs,
        size=dtype_of(dtype).itemsize, on_gpu=False,
    )  # fmt: skip
    assert terms.public == taken(public)
    assert terms.samples == pytest.approx(taken(samples), rel=0.05)  # most of it in a tiny model
    assert terms.total - terms.public - terms.samples == pytest.approx(taken(rest), rel=0.05)
    assert (found["residuals"] > 0) == (fold == "residual") and len(ours) > 50


def test_slots_of_a_core_grow_by_the_core_alone_for_every_sign_and_shard() -> None:
    """Those that are made, on matrices of few rows and of many: the rows count once, for P."""
    rank, taken_by = 8, {}
    for rows in (64, 640):
        for signs, shards in ((2, 1), (10, 1), (2, 5)):
            space = Space(coordinates="core", basis="orthonormal", rank=rank)
            slots = Slots(
                [Slice(Matrix("m", rows, 64), object(), 0, 0)], space=space, rule=Rule(), seed=0, signs=signs,
                probing=Probing(shards=shards), dtype=torch.float32, device=torch.device("cpu"), fold="nearest",
                drawn="philox",
            )  # fmt: skip
            written = [part for factors in slots.of_layer.values() for part in held(factors)]
            taken_by[rows, signs, shards] = taken(written)
            terms = factor_bytes(
                [Matrix("m", rows, 64)], space=space, rule=Rule(), probing=Probing(shards=shards), signs=signs, size=4,
                on_gpu=False,
            )  # fmt: skip
            assert terms.a + terms.b == taken(written)
    for rows in (64, 640):
        for more in ((10, 1), (2, 5)):
            assert taken_by[rows, *more] - taken_by[rows, 2, 1] == 8 * rank**2 * 4
    assert taken_by[640, 2, 1] - taken_by[64, 2, 1] == (640 - 64) * rank * 4


@needs_vllm
@pytest.mark.parametrize("scope", ["linear", "all"])
def test_what_moves_in_place_is_kept_once_and_only_once(open_runtime: Any, scope: str) -> None:
    method = Method(name="mezo", scope=scope)  # type: ignore[call-arg]
    needs = Needs(batch=2, longest=70, options=3, option_tokens=3)
    facts, runtime = open_runtime("llama", needs, method, dtype="bfloat16", fold="residual")
    estimate = estimate_memory(facts, needs, method, dtype="bfloat16", device="cpu", runtime="vllm", fold="residual")
    runtime.update(0, [1.0], 1e-3)
    worker = runtime._llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker
    kept = list(worker._zo_slots._held.values())
    plain = [m.zo_plain_weight for m in worker.model_runner.get_model().modules() if hasattr(m, "zo_plain_weight")]
    assert estimate.kept == taken([*kept, *plain]) == taken(kept) and estimate.copies == 0
    assert estimate.residuals == taken(fold.residual for fold in worker._zo_slots._dense.folds) == estimate.kept
    moving = facts.parameters if scope == "all" else sum(m.rows * m.cols for m in facts.matrices)
    assert estimate.kept == 2 * moving


@needs_vllm
@pytest.mark.parametrize(
    ("layout", "dtype"), [("opt", "float32"), ("llama", "bfloat16"), ("qwen3-moe", "float32"), ("mixtral", "bfloat16")]
)
def test_the_activations_of_a_pass_are_those_that_are_there(open_runtime: Any, layout: str, dtype: str) -> None:
    needs = Needs(batch=32, longest=64, options=2, option_tokens=1)
    facts, runtime = open_runtime(layout, needs, dtype=dtype, fold="nearest")
    batch = [Example(tuple((7 * n + i) % 500 for i in range(63)), ((7,), (8,)), 0) for n in range(32)]
    runtime.redraw(0)
    (probe,) = runtime.probe(0, Probing(), 1e-3, batch)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        runtime.probe(0, Probing(), 1e-3, batch)
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    most = max(accumulate(event.nbytes() for event in events))
    size, width = dtype_of(dtype).itemsize, activation_width(facts.matrices, "cpu", facts.experts_per_token)
    # In so small a mixture what the router gives, and the order of it, is some of it.
    rel = 0.1 if facts.experts_per_token else 0.05
    assert most == pytest.approx(probe.tokens * width * size, rel=rel)


@needs_vllm
@pytest.mark.parametrize("name", ["grzo", "mezo-lora", "subzero"])  # of the second A moves as well
def test_what_a_pass_on_a_gpu_spreads_over_its_shards_is_counted(open_runtime: Any, name: str) -> None:
    """By the code that a GPU runs, on the CPU: more than the activations, were they as those of one shard."""
    method = Method(name=name, rank=16, shards=32)  # type: ignore[call-arg]
    probing = probing_of(method, 32)
    needs = Needs(batch=32, longest=64, options=2, option_tokens=1, probing=probing)
    facts, runtime = open_runtime("opt", needs, method, dtype="float32", fold="nearest")
    worker = runtime._llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker
    worker._zo_forward._ends = lambda batch: None
    batch = [Example(tuple((7 * n + i) % 500 for i in range(63)), ((7,), (8,)), 0) for n in range(32)]
    runtime.redraw(0)
    (probe,) = runtime.probe(0, probing, 1e-3, batch)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        runtime.probe(0, probing, 1e-3, batch)
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    peak = max(accumulate(event.nbytes() for event in events)) / (probe.tokens * 4)
    plain = activation_width(facts.matrices, "cpu")
    spread = spread_width(facts.matrices, space_of(method), 32, on_gpu=True)
    assert plain < 0.8 * peak <= peak <= plain + spread < 1.3 * peak
    card = {"dtype": "float32", "device": "cuda:0", "runtime": "vllm", "fold": "nearest"}
    alone = replace(needs, probing=Probing())
    one, all_of_them = (estimate_memory(facts, of, method, **card) for of in (alone, needs))  # type: ignore[arg-type]
    tokens = (all_of_them.passing - one.passing) / (4 * spread)
    assert tokens == pytest.approx(probe.tokens, rel=0.2)
    assert all_of_them.recordings - one.recordings == all_of_them.passing - one.passing
