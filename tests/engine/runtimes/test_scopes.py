"""Adapters and dense directions on both runtimes: nothing drifts, a checkpoint is all of its step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from engine.directions.adapter import tensors
from engine.directions.space import space_of
from engine.environment import prepare_device
from engine.errors import UserError
from engine.export.rebuild import FoldingLoop
from engine.models.facts import read_model
from engine.optimizer import Optimizer, probing_of
from engine.preflight.scope import check_scope, describe_scope, moving_numbers
from engine.preset.method import Method
from engine.protocol.events import Step
from engine.protocol.findings import Model
from engine.runtimes.base import Needs
from engine.runtimes.training_loop import TrainingLoop
from engine.tasks.example import Example
from engine.updates.base import rule_of
from tests import starting
from tests.engine.conftest import Runner, needs_vllm
from tests.engine.directions.test_update_kept import branch, same
from tests.families.models import write_model
from zotui.text.findings import rows

BATCH = [Example(tuple(range(3, 30)), ((7,), (8, 9)), 0), Example((5, 9, 3), ((11, 12), (4,)), 1)]


def method(**keys: Any) -> Method:
    return Method.model_validate(keys)


# The names of adapters stand for plain descent; another rule is that of grzo, moved on to an adapter.
_RULED: dict[str, Any] = {
    "name": "grzo", "direction": "adapter", "scope": "adapter", "normalise": "none", "shards": 2, "queries": 2,
    "rank": 4, "lr": 1e-2,
}  # fmt: skip
METHODS = {
    "mobizo": method(name="mobizo", rank=4, alpha=6.0, lr=1e-2, shards=2),
    "mezo-lora": method(name="mezo-lora", rank=3, alpha=4.0, lr=1e-2),
    "mezo": method(name="mezo", lr=1e-4),
    "adapter, momentum": method(**_RULED, update="momentum"),
    "adapter of which both move, momentum": method(**_RULED, moves="both", update="momentum"),
    "adapter of which both move, adam-scalar": method(**{**_RULED, "lr": 3e-3}, moves="both", update="adam-scalar"),
}


@pytest.fixture
def open_runtime(tiny_models: dict[str, Path]) -> Iterator[Callable[..., Any]]:
    opened: list[Any] = []

    def open_runtime(kind: str, wanted: Method, dtype: str = "float32") -> Any:
        path = str(tiny_models["one-layer"])
        common: dict[str, Any] = {
            "dtype": dtype, "device": "cpu", "seed": 0, "space": space_of(wanted), "rule": rule_of(wanted),
        }  # fmt: skip
        if kind != "vllm":
            loop = {"training-loop": TrainingLoop, "rebuilt": FoldingLoop}[kind]
            fold: dict[str, Any] = {"fold": "residual"} if kind == "rebuilt" and dtype != "float32" else {}
            return loop(path, scope=wanted.scope, **fold, **common)
        prepare_device("cpu")
        from engine.runtimes.vllm.runtime import VllmRuntime
        from engine.runtimes.vllm.support import unadaptable

        facts = read_model(path, trust_remote_code=False, scope=wanted.scope)
        assert not unadaptable(facts.architecture)
        needs = Needs(batch=2, longest=40, options=2, option_tokens=2, probing=probing_of(wanted, 2))
        fold = {"fold": "nearest" if dtype == "float32" else "residual"}
        opened.append(VllmRuntime(facts, needs=needs, memory_needed=2**30, **fold, **common))
        return opened[-1]

    yield open_runtime
    for runtime in opened:
        runtime.close()


def step(runtime: Any, wanted: Method, number: int) -> Step:
    return Optimizer(wanted, 100, "classification").step(runtime, number, BATCH)


@pytest.mark.parametrize("kind", ["training-loop", pytest.param("vllm", marks=needs_vllm)])
@pytest.mark.parametrize("name", METHODS)
def test_a_checkpoint_is_the_state_of_its_step_and_the_journal_leads_on_from_it(
    open_runtime: Any, tmp_path: Path, kind: str, name: str
) -> None:
    wanted, path = METHODS[name], tmp_path / "weights.safetensors"
    runtime = open_runtime(kind, wanted)
    before = runtime.score(BATCH)
    taken = [step(runtime, wanted, number) for number in range(3)]
    runtime.save_weights(path)
    assert runtime.weights_since() == 3
    saved = runtime.score(BATCH)
    with runtime.at_base():
        assert runtime.score(BATCH) == before
    assert runtime.score(BATCH) == saved != before
    taken += [step(runtime, wanted, number) for number in range(3, 5)]
    end = runtime.score(BATCH)
    runtime.abandon_probe()
    runtime.load_weights(path, 3, 0)
    assert runtime.score(BATCH) == saved and runtime.weights_since() == 3
    for one in taken[3:]:  # as after a kill
        Optimizer(wanted, 100, "classification").replay(runtime, one)
    assert runtime.score(BATCH) == end
    runtime.load_weights(path, 3, 0)  # as after a stop
    assert [step(runtime, wanted, number) for number in range(3, 5)] == taken[3:]
    # Rebuilt from the journal alone, and merged, it is the same model.
    other = open_runtime("rebuilt", wanted)
    for one in taken:
        Optimizer(wanted, 100, "classification").replay(other, one)
    other.merge()
    pairs = zip(other.score(BATCH), end, strict=True)
    assert max(abs(a - b) for mine, theirs in pairs for a, b in zip(mine, theirs, strict=True)) < 1e-5


@needs_vllm
@pytest.mark.parametrize("name", [name for name in METHODS if name.startswith("adapter")])
def test_an_adapter_by_another_rule_is_the_same_on_both_runtimes(open_runtime: Any, name: str) -> None:
    """In float32, over 30 steps: an interval, which is of bases, means nothing to it."""
    wanted = METHODS[name].model_copy(update={"interval": 10})
    ours, theirs = (open_runtime(kind, wanted) for kind in ("vllm", "training-loop"))
    first = theirs.score(BATCH)
    for number in range(30):
        one, other = (step(runtime, wanted, number) for runtime in (ours, theirs))
        pairs = [*zip(one.losses_plus, other.losses_plus, strict=True)]
        pairs += zip(one.losses_minus, other.losses_minus, strict=True)
        assert max(abs(a - b) for a, b in pairs) < 1e-5, number
    assert first != theirs.score(BATCH)


@needs_vllm
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_500_perturbations_in_16_bits_leave_every_bit_where_a_loop_drifts(
    open_runtime: Any, tmp_path: Path, tiny_models: dict[str, Path], dtype: str
) -> None:
    wanted, path = METHODS["mezo"], tmp_path / "weights.safetensors"
    runtime, loop = open_runtime("vllm", wanted, dtype), open_runtime("training-loop", wanted, dtype)
    before = runtime.score(BATCH)
    for number in range(250):
        runtime.probe(number, probing_of(wanted, len(BATCH[1:])), 1e-3, BATCH[1:])
        if number < 10:
            loop.replay_probe(number, probing_of(wanted, len(BATCH[1:])), 1e-3)
    assert runtime.score(BATCH) == before
    runtime.save_weights(path)
    start, after = load_file(tiny_models["one-layer"] / "model.safetensors"), load_file(path)
    whole = AutoModelForCausalLM.from_pretrained(tiny_models["one-layer"])
    assert {name for name in after if not name.endswith(".residual")} == {name for name, _ in whole.named_parameters()}
    assert all(torch.equal(after[name], start[name].to(getattr(torch, dtype))) for name in after if name in start)
    assert not any(after[name].any() for name in after if name.endswith(".residual"))
    loop.save_weights(tmp_path / "drifted.safetensors")
    drifted = load_file(tmp_path / "drifted.safetensors")
    assert any(not torch.equal(drifted[name], after[name]) for name in drifted)


@needs_vllm
def test_updates_in_bfloat16_are_kept_and_rebuilt_bit_for_bit(open_runtime: Any, tmp_path: Path) -> None:
    wanted, path = METHODS["mezo"], tmp_path / "weights.safetensors"
    runtime, other = open_runtime("vllm", wanted, "bfloat16"), open_runtime("rebuilt", wanted, "bfloat16")
    for number in range(40):
        runtime.update(number, [1.0], 1e-6)
        other.update(number, [1.0], 1e-6)
    kept = runtime.update_kept()
    assert kept is not None and abs(kept.kept - 1) < 0.01 and kept.cosine > 0.999
    assert other.update_kept() == kept
    runtime.save_weights(path)
    saved = load_file(path)
    other.save_weights(tmp_path / "rebuilt.safetensors")
    rebuilt = load_file(tmp_path / "rebuilt.safetensors")
    assert rebuilt.keys() <= saved.keys() and all(torch.equal(saved[name], rebuilt[name]) for name in rebuilt)


@pytest.mark.parametrize("name", ["mobizo", "mezo-lora"])
def test_an_adapter_is_merged_in_float32_into_weights_that_it_never_touched(
    open_runtime: Any, tiny_models: dict[str, Path], name: str
) -> None:
    wanted = METHODS[name]
    loop = open_runtime("training-loop", wanted, "bfloat16")
    base = dict(AutoModelForCausalLM.from_pretrained(tiny_models["one-layer"], dtype=torch.bfloat16).named_parameters())
    for number in range(3):
        step(loop, wanted, number)
    assert all(torch.equal(one, base[key]) for key, one in loop.model.named_parameters())
    assert loop.update_kept() is None
    factors = {key: one.clone() for key, one in tensors(loop.learned).items()}
    loop.merge()
    for key, one in loop.model.named_parameters():
        stem, exact = key.removesuffix(".weight"), base[key].float()
        if f"{stem}.lora_B.weight" in factors:
            a, b = factors[f"{stem}.lora_A.weight"], factors[f"{stem}.lora_B.weight"]
            product = (b.double() @ a.double()) * wanted.alpha / wanted.rank
            assert product.abs().max() > 1e-6
            exact = exact.double() + product
        assert one.dtype == torch.float32 and (one - exact).abs().max() < 1e-7, key


def test_gpt_2_has_adapters_too(tmp_path: Path) -> None:
    wanted = METHODS["mezo-lora"]
    loop = TrainingLoop(
        str(write_model("gpt2", tmp_path)), dtype="float32", device="cpu", seed=0, space=space_of(wanted),
        rule=rule_of(wanted), scope=wanted.scope,
    )  # fmt: skip
    before = loop.score(BATCH)
    for number in range(3):
        step(loop, wanted, number)
    hooked = loop.score(BATCH)
    loop.merge()
    merged = loop.score(BATCH)
    apart = [abs(a - b) for x, y in zip(hooked, merged, strict=True) for a, b in zip(x, y, strict=True)]
    assert max(apart) < 1e-5 and hooked != before


def test_what_moves_is_told_and_a_mixture_is_refused_what_it_cannot_have(tiny_models: dict[str, Path]) -> None:
    def facts(layout: str, wanted: Method) -> Any:
        return read_model(str(tiny_models[layout]), trust_remote_code=False, scope=wanted.scope)

    told = {name: describe_scope(facts("opt", wanted), wanted) for name, wanted in METHODS.items()}
    assert told["mezo"] == "100% of the parameters move"
    shapes = [(m.rows, m.cols) for m in facts("opt", METHODS["mobizo"]).matrices]
    for name, count in (("mobizo", 4 * sum(r for r, _ in shapes)), ("mezo-lora", 3 * sum(map(sum, shapes)))):
        assert moving_numbers(facts("opt", METHODS[name]), METHODS[name]) == count
        assert told[name].startswith(f"an adapter moves, of {count:,} parameters (")
        found = Model(
            path="here", architecture="OPT", parameters=10**6, scope=count, matrices=24, context=64, adapter=True
        )
        (row,) = rows(found)
        assert row[1].startswith("here (OPT): 1M parameters, and beside them ") and " on 24 matrices, which" in row[1]
    mixture = facts("mixtral", METHODS["mobizo"])
    check_scope(mixture, METHODS["mobizo"], "vllm")
    check_scope(facts("mixtral", METHODS["mezo"]), METHODS["mezo"], "training-loop")
    with pytest.raises(UserError, match=r"method\.scope: .* use model\.runtime = vllm"):
        check_scope(mixture, METHODS["mobizo"], "training-loop")
    with pytest.raises(UserError, match=r"method\.moves: .* use method\.name = mobizo"):
        check_scope(mixture, METHODS["mezo-lora"], "vllm")


@needs_vllm
@pytest.mark.parametrize("name", ["mobizo", "mezo"])
def test_a_run_in_bfloat16_is_resumed_and_exported_bit_for_bit(tiny_run: Runner, name: str) -> None:
    settings = ("model.runtime=vllm", "model.dtype=bfloat16", "run.steps=9", "run.checkpoint_every=4")
    run = tiny_run(*settings, f"method.name={name}", "method.lr=1e-3")
    assert run.code == 0, run.stderr
    told = [log["text"] for log in run.of("log")]
    what, how = {
        "mobizo": ("model: an adapter moves, of ", "updates: in the factors of the adapter"),
        "mezo": ("model: 100% of the parameters move", "folds: a residual beside the weights"),
    }[name]
    assert all(any(text.startswith(line) for text in told) for line in (what, how, "packed scoring agrees"))
    last = "checkpoints/step-00000009/weights.safetensors"
    resumed = tiny_run(folder=branch(run, "run-resumed", 6, "step-00000004"), command="resume")
    assert resumed.code == 0, resumed.stderr
    assert same(run.folder / last, resumed.folder / last, least=12)
    target = run.folder.with_name("tuned")
    as_run = ("--format", "merged", "--dtype", "bfloat16")
    starting.run(["-m", "zotui", "export", str(run.folder), "--to", str(target), *as_run], check=True)
    held, merged = load_file(run.folder / last), load_file(target / "model.safetensors")
    base = load_file(Path(run.of("hello")[0]["model"]) / "model.safetensors")
    for key, found in merged.items():
        expected, stem = base[key].bfloat16(), key.removesuffix(".weight")
        if f"{stem}.lora_B.weight" in held:
            product = held[f"{stem}.lora_B.weight"] @ held[f"{stem}.lora_A.weight"] * 2  # alpha / rank
            assert product.abs().max() > 1e-5
            expected = (expected.float() + product).bfloat16()
        if name == "mezo":
            assert torch.equal(found, held[key]), key
        else:  # summed up in another order, which seldom rounds otherwise
            assert found.dtype == torch.bfloat16 and (found != expected).float().mean() < 1e-3, key
