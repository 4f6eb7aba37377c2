"""The vLLM runtime by itself: its two paths, its chunks, its folds and its low precision."""

from __future__ import annotations

import importlib.util
import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest
import torch
from msgspec.msgpack import decode, encode
from safetensors.torch import load_file

from engine.directions.fold import FoldMode
from engine.directions.official import OfficialRun
from engine.directions.space import Space
from engine.environment import prepare_device
from engine.errors import RunFailed, UserError
from engine.estimators.probing import Probing
from engine.export.rebuild import FoldingLoop
from engine.models.facts import read_model
from engine.runtimes.base import Needs, Upcoming
from engine.runtimes.vllm.packing import one_token_options
from engine.tasks.example import Example
from tests.engine.conftest import needs_vllm
from tests.peak_memory import grown

if importlib.util.find_spec("vllm") is not None:
    from engine.runtimes.vllm.worker.graphs import Graphs
if TYPE_CHECKING:
    from engine.runtimes.vllm.runtime import VllmRuntime

pytestmark = needs_vllm
OPTIONS = ((7,), (8, 9, 10), (11, 12))


@pytest.fixture
def open_runtime(tiny_models: dict[str, Path]) -> Iterator[Callable[..., VllmRuntime]]:
    opened: list[Any] = []

    def open_runtime(
        layout: str | Path = "opt",
        dtype: str = "float32",
        batch: int = 2,
        queries: int = 1,
        fold: FoldMode = "nearest",
        rank: int = 2,
        plain_copies: bool = True,
        random_weights: bool = False,
    ) -> VllmRuntime:
        prepare_device("cpu")
        from engine.runtimes.vllm.runtime import VllmRuntime
        from engine.runtimes.vllm.support import unadaptable

        folder = tiny_models[layout] if isinstance(layout, str) else layout
        facts = read_model(str(folder), trust_remote_code=False, weights=not random_weights)
        assert not unadaptable(facts.architecture)
        opened.append(
            VllmRuntime(
                facts,
                dtype=dtype,
                device="cpu",
                space=Space(rank=rank),
                seed=0,
                needs=Needs(batch=batch, longest=70, options=3, option_tokens=3, probing=Probing(queries=queries)),
                memory_needed=2**30,
                fold=fold,
                plain_copies=plain_copies,
                random_weights=random_weights,
            )
        )
        return opened[-1]

    yield open_runtime
    for runtime in opened:
        runtime.close()


def examples(count: int, options: tuple[tuple[int, ...], ...] = OPTIONS) -> list[Example]:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(5, 64, (count,), generator=generator).tolist()
    prompts = [tuple(torch.randint(3, 500, (n,), generator=generator).tolist()) for n in lengths]
    return [Example(prompt, options, 0) for prompt in prompts]


def worst(first: list[list[float]], second: list[list[float]]) -> float:
    return max(abs(a - b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True))


def test_a_model_that_vllm_refuses_is_refused_in_one_line(open_runtime: Any, tmp_path: Path) -> None:
    from transformers import Gemma3TextConfig

    config = Gemma3TextConfig(
        vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, head_dim=64, architectures=["Gemma3ForCausalLM"],
    )  # fmt: skip
    config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"vLLM refuses it: .*does not support float16") as refusal:
        open_runtime(tmp_path, "float16", random_weights=True)
    assert "\n" not in str(refusal.value)


def test_a_high_rank_whose_matrices_do_not_share_a_product_scores_the_same(open_runtime: Any) -> None:
    runtime = open_runtime("llama", rank=9)
    assert {len(factors.products) for factors in worker_of(runtime)._zo_slots.of_layer.values()} == {1, 2, 3}
    assert "agrees" in runtime.self_check(examples(4))[1]


def test_packed_and_public_scores_agree_in_chunks_after_folds_and_for_either_sign(open_runtime: Any) -> None:
    runtime = open_runtime()
    level, text = runtime.self_check(examples(4))
    assert level == "info" and "agrees" in text
    batch = examples(40)  # far more than the capacity planned for batches of 2
    runtime.redraw(0)
    runtime.probe(0, Probing(), 1e-3, batch[:2])
    runtime.update(0, [0.01], 1.0)
    runtime.redraw(10)  # folds
    runtime.update(10, [0.01], 1.0)
    (packed,), settled = runtime.probe(10, Probing(), 1e-2, batch), runtime.score(batch)
    runtime.use_public_api()
    (public,), public_settled = runtime.probe(10, Probing(), 1e-2, batch), runtime.score(batch)
    for a, b in ((packed.plus, public.plus), (packed.minus, public.minus), (settled, public_settled)):
        assert worst(a, b) < 1e-4
    assert worst(packed.plus, packed.minus) > 1e-3
    assert packed.tokens < public.tokens  # the prompt was shared


def test_what_a_batch_has_in_common_is_scored_once_with_the_same_result(open_runtime: Any) -> None:
    runtime = open_runtime("llama", batch=8)
    runtime.redraw(0)
    common = examples(1)[0].prompt
    batch = [Example((*common, *e.prompt[: n % 3]), e.options, 0) for n, e in enumerate(examples(8))]
    together, *_ = runtime.probe(0, Probing(), 1e-2, batch)
    alone = [runtime.probe(0, Probing(), 1e-2, [e])[0] for e in batch]
    assert worst(together.plus, [p.plus[0] for p in alone]) < 1e-5
    assert worst(together.minus, [p.minus[0] for p in alone]) < 1e-5
    assert together.tokens < sum(p.tokens for p in alone) / 2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_self_check_sees_slots_that_are_swapped_or_do_nothing(open_runtime: Any, dtype: str) -> None:
    runtime = open_runtime("llama", dtype)
    assert "agrees" in runtime.self_check(examples(4))[1]
    call = runtime._call

    def swapped(method: str, *args: Any) -> Any:
        found = call(method, *args)
        return ([found[0][1], found[0][0]], *found[1:]) if method == "zo_score" else found

    def idle(method: str, *args: Any) -> Any:
        if method != "zo_score":
            return call(method, *args)
        worker_of(runtime)._zo_slots._b.zero_()
        return call(method, *args)

    for wrong in (swapped, idle):
        runtime.use_public_api(False)
        runtime._call = wrong
        assert "differs" in runtime.self_check(examples(4))[1], wrong
        runtime._call = call


def test_the_head_in_pieces_gives_what_it_gives_at_once(open_runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = open_runtime("qwen3", batch=8)
    runtime.redraw(0)
    batch = examples(8)
    (whole,) = runtime.probe(0, Probing(), 1e-2, batch)
    monkeypatch.setattr("engine.runtimes.vllm.worker.head._ROWS", 7)
    monkeypatch.setattr("engine.runtimes.vllm.worker.head._PICKS", 5)
    (pieces,) = runtime.probe(0, Probing(), 1e-2, batch)
    assert worst(whole.plus, pieces.plus) < 1e-5 and worst(whole.minus, pieces.minus) < 1e-5


def test_recorded_passes_score_the_same_and_one_that_differs_ends_recording(open_runtime: Any) -> None:
    """The recorder here does the work again, where a CUDA graph would replay it: all else is the real thing."""
    plain, recorded = open_runtime(batch=8), open_runtime(batch=8)
    worker = worker_of(recorded)
    worker._zo_record_longest = 70
    worker._zo_graphs = Graphs(lambda work: work)
    batches = [examples(24)[n : n + 8] for n in (0, 8, 16)] + [examples(8, ((5,), (6,)))]
    for runtime in (plain, recorded):
        runtime.redraw(0)
        runtime.update(0, [0.01], 1.0)
    for step, batch in enumerate(batches * 2):
        (ours,), (theirs,) = (runtime.probe(step, Probing(), 1e-2, batch) for runtime in (recorded, plain))
        assert worst(ours.plus, theirs.plus) < 1e-5 and worst(ours.minus, theirs.minus) < 1e-5
        assert ours.tokens == theirs.tokens
    assert 2 <= recorded.recorded() <= 4
    worker._zo_graphs = Graphs(lambda work: lambda: work() + 0.5)
    for _ in range(2):
        (ours,) = recorded.probe(0, Probing(), 1e-2, batches[0])
        (theirs,) = plain.probe(0, Probing(), 1e-2, batches[0])
        assert worst(ours.plus, theirs.plus) < 1e-5
    assert recorded.recorded() == 0


def test_what_crosses_to_the_worker_can_be_encoded_and_does_the_same(open_runtime: Any) -> None:
    """Nothing is, within one process; a worker in another one would get it so."""
    from engine.runtimes.vllm.worker.worker import ZoWorker

    crossed = set()

    def across(call: Callable[..., Any]) -> Callable[..., Any]:
        def sent_across(method: str, *args: Any) -> Any:
            verb = getattr(ZoWorker, method)
            types = [get_type_hints(verb)[name] for name in list(inspect.signature(verb).parameters)[1:]]
            crossed.add(method)
            sent = [decode(encode(arg), type=kind) for arg, kind in zip(args, types[: len(args)], strict=True)]
            return decode(encode(call(method, *sent)))

        return sent_across

    found = []
    for encoded in (False, True):
        runtime = open_runtime()
        runtime._call = across(runtime._call) if encoded else runtime._call
        runtime.redraw(0)
        scores = [
            runtime.probe(0, Probing(), 1e-2, examples(2), Upcoming(1, examples(4)[2:])),
            runtime.score(examples(3)),
        ]
        parameters = [(matrix.name, [matrix.rows, matrix.cols]) for matrix in runtime.matrices()]
        runtime.follow(OfficialRun(seeds=[5, 6], parameters=parameters, dtype="float32", rank=2, interval=2))
        runtime.redraw(0)
        scores.append(runtime.probe(0, Probing(), 1e-2, examples(2)))
        name, _ = parameters[0]
        moved = runtime.parameter(name) + 1e-2
        runtime.set_parameters({name: moved})
        assert torch.equal(runtime.parameter(name), moved)
        found.append([*scores, runtime.score(examples(3))])
    assert found[0] == found[1]
    assert found[0][1] != found[0][3]
    assert {
        "zo_redraw",
        "zo_perturb",
        "zo_score",
        "zo_follow",
        "zo_parameter",
        "zo_set_parameters",
        "zo_settle",
    } <= crossed


def test_many_queries_in_one_pass_score_as_they_do_one_by_one(open_runtime: Any) -> None:
    together, apart = open_runtime(queries=3), open_runtime()
    for runtime in (together, apart):
        runtime.redraw(0)
        runtime.update(0, [0.01, 0.02], 2.0)
    batch = examples(2)
    passes = []
    for runtime in (together, apart):
        call = runtime._call
        runtime._call = lambda method, *args, call=call: (passes.append(method), call(method, *args))[1]
    ours = together.probe(1, Probing(queries=3), 1e-2, batch, Upcoming(2, examples(4)[2:]))
    assert passes.count("zo_score") == 1
    theirs = apart.probe(1, Probing(queries=3), 1e-2, batch)
    assert passes.count("zo_score") == 1 + 3
    for one, other in zip(ours, theirs, strict=True):
        assert worst(one.plus, other.plus) < 1e-5 and worst(one.minus, other.minus) < 1e-5
    assert worst(ours[0].plus, ours[1].plus) > 1e-3
    for runtime in (together, apart):
        runtime.update(1, [0.01, -0.02, 0.03], 3.0)
    # What was made ready ahead is what would have been made later, and a surprise is no problem.
    for batch in (examples(4)[2:], examples(2)):
        for one, other in zip(
            together.probe(2, Probing(queries=3), 1e-2, batch),
            apart.probe(2, Probing(queries=3), 1e-2, batch),
            strict=True,
        ):
            assert worst(one.plus, other.plus) < 1e-5 and worst(one.minus, other.minus) < 1e-5


def test_a_packed_path_that_fails_or_differs_gives_way_to_the_public_one(
    open_runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = open_runtime()
    call = runtime._call

    def broken(method: str, *args: Any) -> Any:
        if method == "zo_score":
            raise AttributeError("no attn_groups")
        return call(method, *args)

    monkeypatch.setattr(runtime, "_call", broken)
    level, text = runtime.self_check(examples(4))
    assert level == "warning" and text == "packed scoring failed on this vLLM (AttributeError: no attn_groups)"
    assert runtime.paths == ("public",)
    assert runtime.probe(0, Probing(), 1e-3, examples(2))[0].tokens > 0  # the run goes on

    def wrong(method: str, *args: Any) -> Any:
        found = call(method, *args)
        if method == "zo_score":
            found[0][1][0][1] += 0.5
        return found

    monkeypatch.setattr(runtime, "_call", wrong)
    runtime.use_public_api(False)
    level, text = runtime.self_check(examples(4))
    assert level == "warning" and "differs from vLLM's public API by 0.5" in text
    assert runtime.paths == ("public",)


class _NoKernel(Exception):
    """As Triton raises them."""


def _raising(error: Exception) -> Any:
    def raises(*_: Any, **__: Any) -> Any:
        raise error

    return raises


@pytest.mark.parametrize("at", ["the model", "a layer that is adapted"])
def test_what_fails_while_vllm_runs_the_model_is_vllms_and_passed_over_with_a_warning(
    open_runtime: Any, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """The second below our own part of such a layer."""
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    runtime = open_runtime()
    owner, name = (CPUModelRunner, "_model_forward") if at == "the model" else (PunicaWrapperCPU, "add_lora_linear")
    monkeypatch.setattr(owner, name, _raising(_NoKernel("no image for this card\nat line 3")))
    level, text = runtime.self_check(examples(4))
    assert level == "warning"
    assert text == ("packed scoring could not be checked, vLLM's public API failed (_NoKernel: no image for this card)")
    assert runtime.paths == ("packed",)


@pytest.mark.parametrize("fault", ["argument", "request", "answer", "slots", "inside", "memory"])
def test_a_check_that_a_fault_of_ours_kept_from_being_made_ends_the_run(
    open_runtime: Any, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """In the call, in what vLLM refuses to be asked, in reading its answer, in our slots, in our code that runs within
    the model, in how much fits.
    """
    from vllm import LLM
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    runtime, some, told = open_runtime(), examples(4), "vLLM was asked wrongly"
    if fault == "argument":
        monkeypatch.setattr("engine.runtimes.vllm.public_api.SamplingParams", lambda **_: {"max_tokens": 1})
    elif fault == "request":
        some = [Example(tuple(range(3, 9)) * runtime.longest, OPTIONS, 0)]
        monkeypatch.setattr(runtime._scoring, "score", lambda examples, signs: ([[[0.0, 0.0, 0.0]]] * signs, 1))
    elif fault == "answer":
        monkeypatch.setattr(LLM, "generate", lambda *_, **__: [])
    elif fault == "slots":
        call = runtime._call
        wrong = {"zo_publish": _raising(KeyError("plus"))}
        monkeypatch.setattr(runtime, "_call", lambda method, *args: wrong.get(method, call)(method, *args))
    elif fault == "inside":
        monkeypatch.setattr(CPUModelRunner, "_model_forward", lambda *_, **__: one_token_options([None]))
    else:
        told = "it takes more memory than zotui reckoned with"
        error = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        monkeypatch.setattr(CPUModelRunner, "_model_forward", _raising(error))
    with pytest.raises(RunFailed, match=told) as refusal:
        runtime.self_check(some)
    assert "\n" not in str(refusal.value)


def test_where_both_paths_fail_nothing_is_left_to_score_by(open_runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    runtime = open_runtime()
    call = runtime._call
    wrong = {"zo_score": _raising(AttributeError("no attn_groups"))}
    monkeypatch.setattr(runtime, "_call", lambda method, *args: wrong.get(method, call)(method, *args))
    monkeypatch.setattr(CPUModelRunner, "_model_forward", _raising(_NoKernel("none")))
    level, text = runtime.self_check(examples(4))
    assert level == "warning" and text.endswith(
        "(AttributeError: no attn_groups), and so did its public API (_NoKernel: none)"
    )
    assert runtime.paths == ()


@pytest.mark.parametrize(("dtype", "fold"), [("bfloat16", "residual"), ("float16", "stochastic")])
def test_half_precision_scores_both_ways_and_folds_as_transformers_weights_are_folded(
    open_runtime: Any, tiny_models: dict[str, Path], tmp_path: Path, dtype: str, fold: FoldMode
) -> None:
    runtime = open_runtime("llama", dtype, fold=fold)
    assert "agrees" in runtime.self_check(examples(4))[1]
    loop = FoldingLoop(str(tiny_models["llama"]), fold=fold, dtype=dtype, device="cpu", seed=0)
    mirror = dict(loop.model.named_parameters())
    path = tmp_path / "weights.safetensors"
    for step in (0, 10, 20):
        for one in (runtime, loop):
            one.redraw(step)
            one.update(step, [1e-4], 1.0)
        runtime.save_weights(path)
        for state in loop.learned.states:  # bit for bit, as read at first and after one and two folds
            saved = load_file(path)
            assert torch.equal(saved[state.matrix.name], mirror[state.matrix.name])
            if state.fold.residual is not None:
                assert torch.equal(saved[f"{state.matrix.name}.residual"], state.fold.residual)
    assert runtime.update_kept() == loop.update_kept() is not None


@pytest.mark.parametrize("room", [True, False])
def test_saved_weights_are_the_models_own_and_load_back(
    open_runtime: Any, tiny_models: dict[str, Path], tmp_path: Path, room: bool
) -> None:
    """Also where memory does not allow to keep the plain weights beside those that vLLM packed."""
    runtime = open_runtime("qwen2", plain_copies=room)
    path = tmp_path / "w.safetensors"
    runtime.save_weights(path)
    original, saved = load_file(tiny_models["qwen2"] / "model.safetensors"), load_file(path)
    assert all(torch.equal(saved[name], original[name]) for name in saved)
    before = runtime.score(examples(3))
    runtime.redraw(0)
    runtime.update(0, [0.05], 1.0)
    runtime.redraw(10)
    assert worst(before, runtime.score(examples(3))) > 1e-3
    runtime.load_weights(path, 0, 0)
    assert worst(before, runtime.score(examples(3))) == 0.0


def test_a_checkpoint_is_written_without_gathering_it_in_memory(
    open_runtime: Any, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    """6 layers of OPT-125M's shape, their weights and residuals 170 MB."""
    about = json.loads((tiny_models["opt"] / "config.json").read_text())
    shape = {"hidden_size": 768, "word_embed_proj_dim": 768, "ffn_dim": 3072, "num_hidden_layers": 6}
    (tmp_path / "config.json").write_text(json.dumps({**about, **shape}))
    runtime = open_runtime(tmp_path, "bfloat16", fold="residual", random_weights=True)
    runtime.redraw(0)
    runtime.update(0, [1e-3], 1.0)
    runtime.redraw(10)
    path = tmp_path / "weights.safetensors"
    with grown() as most:
        runtime.save_weights(path)
    assert path.stat().st_size > 160e6
    assert most[0] < 16e6  # a quarter of the old way's


@pytest.mark.parametrize("planned", [2, 8], ids=["in chunks", "in one pass"])
def test_free_memory_evaluations_and_what_was_made_ready_change_no_bit(
    open_runtime: Any, tmp_path: Path, planned: int
) -> None:
    found, weights = [], []
    for plain in (True, False):
        runtime = open_runtime("qwen2", batch=planned, queries=2, plain_copies=plain)
        batches = [examples(64)[n : n + 8] for n in range(0, 64, 8)]
        for step in range(25):
            if step % 10 == 0:
                runtime.redraw(step)
            batch, following = (batches[n % 8] for n in (step, step + 1))
            found.append(
                runtime.probe(step, Probing(queries=2), 1e-2, batch, Upcoming(step + 1, following) if plain else None)
            )
            runtime.update(step, [1e-3, -1e-3], 2.0)
            if not plain and step % 3 == 0:
                runtime.score(batches[0])
        runtime.save_weights(tmp_path / "weights.safetensors")
        weights.append(load_file(tmp_path / "weights.safetensors"))
    assert found[:25] == found[25:]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def worker_of(runtime: Any) -> Any:
    """vLLM's worker, in this process."""
    return runtime._llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker


@dataclass(frozen=True)
class OneShape:
    """As much of a batch as recordings look at."""

    signs: int
    sent: list[torch.Tensor]
    ids: torch.Tensor


def test_recordings_are_given_up_for_the_memory_of_a_pass(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    graphs = Graphs(lambda work: work)
    small, large = (OneShape(2, [ids], ids) for ids in (torch.zeros(3), torch.zeros(5)))
    assert graphs.run(small, lambda batch: batch.ids + 1, "").tolist() == [1.0] * 3 and graphs.recorded == 1
    turns = iter([True])

    def work(batch: OneShape) -> torch.Tensor:
        if next(turns, False):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch.ids + 2

    assert graphs.run(large, work, "").tolist() == [2.0] * 5
    assert not graphs.on and graphs.recorded == 0
    assert [record.getMessage() for record in caplog.records] == [
        "CUDA graphs are off: their memory is needed for a pass"
    ]
