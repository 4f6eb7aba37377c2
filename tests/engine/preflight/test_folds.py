"""How folds are kept: by what there is room for at first, and as the run began from then on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.directions.fold import FoldMode
from engine.errors import UserError
from engine.export.merged import export_merged
from engine.models.facts import ModelFacts, facts_of
from engine.models.known_shapes import ON_THE_HUB
from engine.preflight import checks
from engine.preflight.checks import check_memory
from engine.preflight.folds import fold_of, folds_for
from engine.preflight.memory import estimate_host, estimate_memory
from engine.preflight.plan import plan_run, prepare
from engine.preset.method import Method
from engine.protocol.events import Error, Log
from engine.runs.directory import RunDir
from engine.runs.fork import fork
from engine.runs.info import Info
from engine.runtimes.base import Needs
from tests.engine.conftest import needs_vllm
from tests.engine.states import saved
from tests.live_engine import Engine

GiB = 2**30
NEEDS = Needs(batch=16, longest=64, options=2, option_tokens=1)
HALF: dict[str, Any] = {"dtype": "float16", "device": "cuda:0", "runtime": "vllm"}


@pytest.fixture(scope="module")
def shapes() -> dict[str, ModelFacts]:
    """Models that are known by their configurations, and Llama 7B (arXiv 2302.13971, Table 2)."""
    from transformers import AutoConfig, LlamaConfig

    known = {name: AutoConfig.for_model(**shape) for name, shape in ON_THE_HUB.items()}
    known["llama-7b"] = LlamaConfig(
        vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32,
        max_position_embeddings=2048,
    )  # fmt: skip
    wanted = ("Qwen/Qwen3-0.6B", "facebook/opt-1.3b", "llama-7b", "facebook/opt-13b", "facebook/opt-30b")
    return {name: facts_of(name, known[name]) for name in wanted}


def on_card(
    monkeypatch: pytest.MonkeyPatch, facts: ModelFacts, card: float, host: float, fold: str = "auto", was: str = ""
) -> checks.Fit:
    """On a card of so many GiB, of which a desktop and CUDA's bookkeeping have a little."""

    def available(device: str, limit_gib: float | None) -> int:
        return int((host if device == "cpu" else card - 0.4) * GiB)

    monkeypatch.setattr(checks, "available_memory", available)
    folds = folds_for(fold, was, **HALF)
    return check_memory(facts, NEEDS, Method(), folds=folds, limit_gib=None, **HALF)


@pytest.mark.parametrize(
    ("model", "card", "host", "fold", "why"),
    [
        ("Qwen/Qwen3-0.6B", 8, 32, "residual", "model.fold=auto: it fits"),
        ("facebook/opt-1.3b", 8, 32, "residual", "model.fold=auto: it fits"),
        ("llama-7b", 80, 64, "residual", "model.fold=auto: it fits"),
        ("llama-7b", 32, 64, "residual", "model.fold=auto: it fits"),
        ("llama-7b", 24, 64, "host-residual", "residuals beside the weights make 27.. GiB on cuda:0, 23.6 GiB are"),
        ("llama-7b", 24, 12, "stochastic", "23.6 GiB are available, residuals in the host's memory make"),
        ("llama-7b", 16, 64, "host-residual", "residuals beside the weights make"),
        ("facebook/opt-13b", 80, 64, "residual", "model.fold=auto: it fits"),
        ("facebook/opt-13b", 32, 64, "host-residual", "residuals beside the weights make"),
        ("facebook/opt-13b", 32, 24, "stochastic", "on the host, 24 GiB are available"),
        ("facebook/opt-30b", 80, 128, "host-residual", "residuals beside the weights make"),
    ],
)  # fmt: skip
def test_auto_takes_what_a_card_has_room_for_and_says_why(
    monkeypatch: pytest.MonkeyPatch, shapes: dict[str, ModelFacts], model: str, card: float, host: float, fold: str,
    why: str,
) -> None:  # fmt: skip
    facts = shapes[model]
    fit = on_card(monkeypatch, facts, card, host)
    assert fit.fold == fold
    assert fit.updates.startswith("folds: ") and re.search(why, fit.updates), fit.updates
    assert fit.memory.total <= (card - 0.4) * GiB and fit.host.total <= host * GiB
    scope = sum(m.rows * m.cols for m in facts.matrices)
    assert (fit.memory.residuals, fit.host.residuals >= 2 * scope) == {
        "residual": (2 * scope, False),
        "host-residual": (0, True),
        "stochastic": (0, False),
    }[fold]
    assert fit.lines[1].startswith(f"host memory: {fit.host}; ") and fit.lines[1].endswith("fits")
    # Every part that a card has and no tensor of ours is, as far as it is known.
    assert fit.memory.libraries >= 0.5 * GiB and fit.memory.recordings > 0


def test_what_is_asked_for_by_name_is_taken_or_refused_with_the_way_round_it(
    monkeypatch: pytest.MonkeyPatch, shapes: dict[str, ModelFacts]
) -> None:
    facts = shapes["llama-7b"]
    assert on_card(monkeypatch, facts, 80, 64, "host-residual").fold == "host-residual"
    with pytest.raises(UserError, match=r"needs about 27\.. GiB .*or --set model.fold=host-residual \(12.1 GiB less\)"):
        on_card(monkeypatch, facts, 24, 64, "residual")
    with pytest.raises(
        UserError, match=r"of the host's memory \(.*12.0 GiB are available.*model.fold=stochastic$"
    ) as no:
        on_card(monkeypatch, facts, 24, 11.96, "host-residual")
    assert "\n" not in str(no.value)
    with pytest.raises(UserError, match=r"needs about .* on cuda:0, 11.6 GiB are available; .*run.batch_size$"):
        on_card(monkeypatch, facts, 12, 64)
    # A checkpoint and the libraries need some of it in any case.
    with pytest.raises(
        UserError, match=r"of the host's memory \(.*a piece of a checkpoint, .* 64 MiB, libraries 1 GiB"
    ):
        on_card(monkeypatch, shapes["facebook/opt-1.3b"], 80, 1)


def test_a_run_that_began_with_residuals_goes_on_with_them_wherever_they_are(
    monkeypatch: pytest.MonkeyPatch, shapes: dict[str, ModelFacts]
) -> None:
    facts = shapes["llama-7b"]
    for was in ("residual", "host-residual"):
        for asked in ("auto", "residual"):
            assert on_card(monkeypatch, facts, 80, 64, asked, was).fold == "residual"
            fit = on_card(monkeypatch, facts, 24, 64, asked, was)
            assert fit.fold == "host-residual" and "; as the run began: residuals beside" in fit.updates
        with pytest.raises(UserError, match=r"the run began with residuals and must go on with them, and") as refusal:
            on_card(monkeypatch, facts, 24, 12, "auto", was)
        assert "\n" not in str(refusal.value) and "stochastic" not in str(refusal.value)
    assert on_card(monkeypatch, facts, 80, 64, "auto", "stochastic").fold == "stochastic"


@pytest.mark.parametrize(
    ("wanted", "was", "dtype", "device", "modes"),
    [
        ("auto", "", "float16", "cuda:0", ["residual", "host-residual", "stochastic"]),
        ("auto", "", "bfloat16", "cpu", ["residual", "stochastic"]),  # the host's memory is the device's
        ("host-residual", "", "bfloat16", "cpu", ["residual"]),
        ("auto", "host-residual", "bfloat16", "cpu", ["residual"]),
        ("host-residual", "residual", "bfloat16", "cuda:0", ["host-residual"]),
        ("nearest", "nearest", "bfloat16", "cuda:0", ["nearest"]),
        ("auto", "", "float32", "cuda:0", ["nearest"]),
        ("auto", "residual", "float32", "cpu", ["nearest"]),
    ],
)
def test_which_folds_a_run_may_take(wanted: str, was: str, dtype: str, device: str, modes: list[str]) -> None:
    assert list(folds_for(wanted, was, dtype=dtype, device=device, runtime="vllm").modes) == modes


def test_runs_from_before_it_was_on_record_began_with_residuals() -> None:
    assert fold_of(Info(runtime="vllm", dtype="float16"), "auto") == "residual"
    assert fold_of(Info(runtime="vllm", dtype="float16"), "stochastic") == "stochastic"
    assert fold_of(Info(runtime="vllm", dtype="float16", fold="stochastic"), "auto") == "stochastic"
    assert fold_of(Info(), "auto") == "" == fold_of(Info(runtime="training-loop", dtype="float16"), "auto")


def test_pinned_memory_is_counted_as_torch_takes_it(shapes: dict[str, ModelFacts]) -> None:
    """Powers of two, of 1 GiB at most where no matrix is larger, which matrices share."""
    host = estimate_host(shapes["llama-7b"], NEEDS, Method(), fold="host-residual", **HALF)
    scope = sum(m.rows * m.cols for m in shapes["llama-7b"].matrices)
    assert host.residuals == 12.5 * GiB and 0.95 < 2 * scope / host.residuals <= 1
    on_cpu = {**HALF, "device": "cpu"}
    assert estimate_host(shapes["llama-7b"], NEEDS, Method(), fold="residual", **on_cpu).total == 0


# -- a run -----------------------------------------------------------------------------------------------


@needs_vllm
def test_a_run_keeps_the_fold_that_it_began_with_when_there_is_more_room_later(start: Any, tmp_path: Path) -> None:
    half = ("model.runtime=vllm", "model.dtype=bfloat16", "method.lr=1e-3", "run.steps=11", "run.batch_size=4")
    began = start(*half)
    assert began.finish() == 0
    wanted = began.run.preset()
    assert began.run.info.read().fold == "residual"
    prepared = prepare(plan_run(wanted, lambda *_: None), lambda *_: None)
    least = prepared.fit.memory.without_copies().total
    limit = f"model.memory_limit_gib={(least - 1) / GiB!r}"

    # Too little for residuals, once the data is known.
    tight = start(*half, limit)
    assert tight.finish() == 0
    said = [event.text for event in tight.seen if isinstance(event, Log) and event.text.startswith("folds: ")]
    assert len(said) == 1 and "stochastic rounding" in said[0] and "residuals beside the weights make" in said[0]
    assert json.loads(tight.run.info.file.read_text())["fold"] == "stochastic"
    weights = load_file(saved(tight.run.path, 11))
    assert not [name for name in weights if name.endswith(".residual")]
    # With room again: what it began with, in a fork and in an export.
    room = fork(tight.run, 11, ["model.memory_limit_gib=4", "run.steps=12"], tmp_path / "room")
    assert room.info.read().fold == "stochastic"
    on = Engine(room, resume=True)
    assert on.finish() == 0
    assert any("stochastic rounding" in event.text for event in on.of(Log))
    assert room.info.read().fold == "stochastic"
    export_merged(RunDir(tight.run.path), tmp_path / "tuned")
    merged = load_file(tmp_path / "tuned/model.safetensors")
    assert all(torch.equal(merged[name], weight) for name, weight in _folded(tight.run).items())

    # The other way: what began with residuals is refused in one line where they have no room any more.
    narrow = fork(began.run, 11, [limit, "run.steps=12"], tmp_path / "narrow")
    refused = Engine(narrow, resume=True)
    assert refused.finish() == 2
    (error,) = refused.of(Error)
    assert "the run began with residuals and must go on with them, and residuals beside the weights make" in error.text
    assert "\n" not in error.text


def _folded(run: RunDir) -> dict[str, Any]:
    """The weights that its journal leads to when folds round by chance."""
    from engine.export.rebuild import FoldingLoop
    from engine.optimizer import Optimizer

    wanted = run.preset()
    loop = FoldingLoop(wanted.model.path, fold="stochastic", dtype="bfloat16", device="cpu", seed=0)
    steps = list(run.journal())
    for taken in steps:
        Optimizer(wanted.method, wanted.run.steps, "classification").replay(loop, taken)
    loop.redraw(len(steps))
    return {matrix.name: dict(loop.model.named_parameters())[matrix.name] for matrix in loop.matrices()}


def test_a_fold_that_is_asked_for_is_in_the_estimates_of_every_mode(shapes: dict[str, ModelFacts]) -> None:
    modes: tuple[FoldMode, ...] = ("residual", "host-residual", "stochastic")
    residual, host, none = (estimate_memory(shapes["llama-7b"], NEEDS, Method(), fold=fold, **HALF) for fold in modes)
    scope = sum(m.rows * m.cols for m in shapes["llama-7b"].matrices)
    assert residual.total - none.total == 2 * scope
    assert host.total - none.total == 2 * 2 * 4096 * 11008  # two of the largest, on their way
