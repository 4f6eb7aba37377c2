"""The experts of a mixture: the same in both runtimes, under the names that their files have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from engine.directions.space import Space
from engine.environment import prepare_device
from engine.errors import UserError
from engine.estimators.probing import Probing
from engine.export.rebuild import FoldingLoop
from engine.models.experts import dense, of_expert
from engine.models.facts import read_model, weights_in_scope
from engine.runtimes.base import Needs
from engine.runtimes.training_loop import TrainingLoop
from engine.tasks.example import Example
from tests.engine.conftest import Runner, needs_vllm

MIXTURES = pytest.mark.parametrize("layout", ["qwen3-moe", "mixtral"])
FIRST = {"qwen3-moe": "mlp.experts.0.gate_proj", "mixtral": "block_sparse_moe.experts.0.w1"}


@pytest.fixture
def both(tiny_models: dict[str, Path]) -> Iterator[Callable[..., tuple[Any, FoldingLoop | TrainingLoop]]]:
    """Opens a model in vLLM and in transformers."""
    opened: list[Any] = []

    def both(layout: str, dtype: str = "float32", rank: int = 2, experts: bool = True, **less: Any) -> tuple[Any, Any]:
        prepare_device("cpu")
        from engine.runtimes.vllm.runtime import VllmRuntime
        from engine.runtimes.vllm.support import unadaptable

        path = str(tiny_models[layout])
        facts = read_model(path, trust_remote_code=False, experts=experts)
        assert not unadaptable(facts.architecture)
        common: dict[str, Any] = {"dtype": dtype, "device": "cpu", "space": Space(rank=rank), "seed": 0}
        needs = Needs(batch=4, longest=70, options=2, option_tokens=2, probing=Probing(queries=2))
        fold = "nearest" if dtype == "float32" else "residual"
        opened.append(VllmRuntime(facts, needs=needs, memory_needed=2**30, fold=fold, **common))
        if dtype == "float32":
            return opened[-1], TrainingLoop(path, experts=experts, **common)
        return opened[-1], FoldingLoop(path, experts=experts, fold=fold, **common)

    yield both
    for runtime in opened:
        runtime.close()


def batch(count: int) -> list[Example]:
    generator = torch.Generator().manual_seed(3)
    prompts = [torch.randint(3, 500, (9 + 5 * n,), generator=generator).tolist() for n in range(count)]
    return [Example(tuple(prompt), ((7,), (8, 9)), 0) for prompt in prompts]


def worst(first: Any, second: Any) -> float:
    """The largest difference between scores."""
    return max(abs(a - b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True))


@MIXTURES
def test_every_matrix_of_every_expert_is_in_scope_under_its_name_in_the_files(
    tiny_models: dict[str, Path], layout: str
) -> None:
    facts = read_model(str(tiny_models[layout]), trust_remote_code=False)
    with safe_open(tiny_models[layout] / "model.safetensors", framework="pt") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no dict
    experts = {m.name: (m.rows, m.cols) for m in facts.matrices if of_expert(m.name)}
    assert experts == {name: shape for name, shape in shapes.items() if ".experts." in name}
    assert f"model.layers.1.{FIRST[layout]}.weight" in experts
    assert len(dense(facts.matrices)) == 8  # the router is none of them


@needs_vllm
@MIXTURES
@pytest.mark.parametrize(("rank", "experts"), [(2, True), (9, True), (2, False)], ids=["", "high rank", "still"])
def test_probes_of_both_runtimes_agree_before_and_after_a_fold(
    both: Any, layout: str, rank: int, experts: bool
) -> None:
    """Also with two queries in one pass, of a rank whose matrices share no product, and where experts stand still."""
    fast, loop = both(layout, rank=rank, experts=experts)
    assert set(fast.matrices()) == set(loop.matrices())
    assert any(of_expert(matrix.name) for matrix in fast.matrices()) == experts
    for step in (0, 1, 10):
        for runtime in (fast, loop):
            if step != 1:
                runtime.redraw(step)
        for ours, theirs in zip(
            *(runtime.probe(step, Probing(queries=2), 1e-2, batch(4)) for runtime in (fast, loop)), strict=True
        ):
            assert worst(ours.plus, theirs.plus) < 2e-5 and worst(ours.minus, theirs.minus) < 2e-5
            assert worst(ours.plus, ours.minus) > 1e-2
        for runtime in (fast, loop):
            runtime.update(step, [1e-3, -2e-3], 2.0)
        assert worst(fast.score(batch(4)), loop.score(batch(4))) < 2e-5


@needs_vllm
@MIXTURES
def test_the_public_api_is_shown_what_is_added_to_experts(both: Any, layout: str) -> None:
    fast, _ = both(layout)
    level, text = fast.self_check(batch(4))
    assert level == "info" and "packed scoring agrees" in text
    fast.redraw(0)
    fast.update(0, [1e-3, 1e-3], 2.0)
    (packed,) = fast.probe(1, Probing(), 3e-2, batch(2))
    fast.use_public_api()
    (public,) = fast.probe(1, Probing(), 3e-2, batch(2))
    assert worst(packed.plus, public.plus) < 1e-4 and worst(packed.minus, public.minus) < 1e-4
    mixture = worker_of(fast)._zo_mixtures[0]
    assert mixture._shown is None  # and no longer than it is asked
    fast.use_public_api(False)
    mixture.show = lambda added: None  # one of two blocks left out is noticed
    assert "differs" in fast.self_check(batch(4))[1]


@needs_vllm
@MIXTURES
def test_low_precision_folds_into_experts_bit_for_bit_as_a_rebuilt_run_does(
    both: Any, tmp_path: Path, layout: str
) -> None:
    fast, loop = both(layout, "bfloat16")
    assert "agrees" in fast.self_check(batch(4))[1]
    path = tmp_path / "weights.safetensors"
    for step in (0, 10, 20):
        for one in (fast, loop):
            one.redraw(step)
            one.update(step, [1e-4], 1.0)
    fast.save_weights(path)
    saved = load_file(path)
    assert sum(map(of_expert, saved)) > len(saved) / 2
    weights = {matrix.name: weight for matrix, weight in weights_in_scope(loop.model)}
    for state in loop.learned.states:
        assert torch.equal(saved[state.matrix.name], weights[state.matrix.name])
        assert torch.equal(saved[f"{state.matrix.name}.residual"], state.fold.residual)
    ours, theirs = fast.update_kept(), loop.update_kept()
    assert (ours.kept, ours.cosine) == pytest.approx((theirs.kept, theirs.cosine), rel=1e-12)  # summed up in two orders


@needs_vllm
@MIXTURES
def test_the_base_model_is_shown_and_the_tuned_one_brought_back(both: Any, layout: str) -> None:
    fast, loop = both(layout)
    for runtime in (fast, loop):
        before = runtime.score(batch(3))
        runtime.redraw(0)
        runtime.update(0, [3e-2], 1.0)
        runtime.redraw(10)
        tuned = runtime.score(batch(3))
        assert worst(before, tuned) > 1e-2
        with runtime.at_base():
            assert worst(before, runtime.score(batch(3))) == 0.0
        assert worst(tuned, runtime.score(batch(3))) == 0.0


@needs_vllm
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"w13_bias": torch.zeros(1)}, "another kind than is known here (SILU)"),
        ({"expert_map": torch.zeros(1)}, "not all here"),
    ],
)
def test_experts_of_another_kind_are_refused(both: Any, changes: dict[str, Any], why: str) -> None:
    from engine.runtimes.vllm.worker.experts import find_mixtures

    fast, _ = both("mixtral")
    model = worker_of(fast).model_runner.get_model()
    routed = next(module.routed_experts for module in model.modules() if hasattr(module, "routed_experts"))
    kind = type(routed)
    routed.__class__ = type(kind.__name__, (kind,), changes)
    with pytest.raises(
        UserError, match=r"block_sparse_moe\.experts: .*use --set model\.runtime=training-loop"
    ) as raised:
        find_mixtures(model, moving=True, on_gpu=False)
    assert why in str(raised.value)


@pytest.mark.parametrize("recorded", [True, False])
def test_experts_of_a_run_that_an_earlier_version_began_stand_still(
    tiny_run: Runner, tiny_models: dict[str, Path], recorded: bool
) -> None:
    from engine.preflight.plan import plan_run
    from engine.runs.directory import RunDir

    done = tiny_run(f"model.path={tiny_models['mixtral']}", "run.steps=1")
    assert done.code == 0, done.stderr
    run = RunDir(done.folder)
    assert run.info.read().experts
    if not recorded:
        held = json.loads(run.info.file.read_text())
        del held["experts"]
        run.info.file.write_text(json.dumps(held))
    plan = plan_run(run.preset(), lambda *phase: None, run=run)
    assert any(of_expert(matrix.name) for matrix in plan.facts.matrices) == plan.experts == recorded


def test_experts_of_a_family_that_is_not_known_stand_still() -> None:
    from transformers import Qwen3MoeConfig

    from engine.models.facts import facts_of

    config = Qwen3MoeConfig(
        hidden_size=64, num_hidden_layers=1, num_experts=4, moe_intermediate_size=16, vocab_size=64,
        num_attention_heads=2, num_key_value_heads=1,
    )  # fmt: skip
    known = facts_of("here", config)
    config.model_type = "another"
    unknown = facts_of("here", config)
    assert replace(unknown, matrices=known.matrices, still=known.still) == known
    assert unknown.matrices == dense(known.matrices) != known.matrices


def worker_of(runtime: Any) -> Any:
    """vLLM's worker, in this process."""
    return runtime._llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker
