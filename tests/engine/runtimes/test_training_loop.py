"""The conventional loop is right where models are unusual: transposed weights, capped attention, images beside text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from engine.directions.low_rank import directions
from engine.directions.space import Space
from engine.errors import UserError
from engine.estimators.probing import Probing
from engine.export.rebuild import FoldingLoop
from engine.models.experts import dense
from engine.models.facts import read_model, weights_in_scope
from engine.preflight.open import Opened, open_run
from engine.preset.load import load
from engine.runtimes.training_loop import TrainingLoop
from engine.tasks.example import Example
from tests.engine.conftest import Runner, needs_vllm
from tests.families.models import SHAPES, write_model

COMMON: dict[str, Any] = {"dtype": "float32", "device": "cpu", "seed": 0}
BATCH = [Example(tuple(range(3, 40)), ((7,), (8, 9, 10)), 0), Example((5, 9, 3), ((11, 12), (4,)), 1)]


def plain(model: Any, examples: list[Example]) -> list[list[float]]:
    """Scores one sequence at a time, without padding."""

    def score(prompt: tuple[int, ...], option: tuple[int, ...]) -> float:
        ids = torch.tensor([[*prompt, *option]])
        with torch.inference_mode():
            logged = model(input_ids=ids).logits[0].log_softmax(-1)
        return sum(float(logged[len(prompt) + n - 1, token]) for n, token in enumerate(option))

    return [[score(e.prompt, option) for option in e.options] for e in examples]


def worst(first: list[list[float]], second: list[list[float]]) -> float:
    return max(abs(a - b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True))


def test_gpt_2_moves_as_matrices_of_outputs_by_inputs(tmp_path: Path) -> None:
    path = write_model("gpt2", tmp_path)
    matrices = read_model(str(path), trust_remote_code=False).matrices
    shapes = {matrix.name: (matrix.rows, matrix.cols) for matrix in matrices}
    assert len(shapes) == 8 and all(matrix.transposed for matrix in matrices)
    assert shapes["transformer.h.1.attn.c_attn.weight"] == (384, 128)
    assert shapes["transformer.h.0.mlp.c_proj.weight"] == (128, 512)
    loop = TrainingLoop(str(path), **COMMON)
    loop.redraw(0)
    (probe,) = loop.probe(0, Probing(), 1e-2, BATCH)
    # The definition, on a model of its own: W is (in, out) there, and moves by eps (U V^T)^T.
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    drawn = directions("philox", matrices, Space(rank=2), 0, torch.device("cpu"))
    u, v = (torch.zeros(2 * sum(getattr(m, side) for m in matrices)) for side in ("rows", "cols"))
    drawn.v_into(v, 0)
    drawn.u_into(u, 0, 0)
    parameters, rows, cols = dict(model.named_parameters()), 0, 0
    for matrix in matrices:
        z = u[rows : rows + 2 * matrix.rows].view(-1, 2) @ v[cols : cols + 2 * matrix.cols].view(-1, 2).T
        rows, cols = rows + 2 * matrix.rows, cols + 2 * matrix.cols
        parameters[matrix.name].data += 1e-2 * z.T
    assert worst(probe.plus, plain(model, BATCH)) < 1e-5
    assert worst(probe.plus, probe.minus) > 1e-2


def test_gpt_2_is_saved_loaded_folded_and_set_back_to_its_base(tmp_path: Path) -> None:
    path = write_model("gpt2", tmp_path)
    loop, folding = TrainingLoop(str(path), **COMMON), FoldingLoop(str(path), fold="nearest", **COMMON)
    before = loop.score(BATCH)
    for one in (loop, folding):
        one.redraw(0)
        one.update(0, [1e-2], 1.0)
        one.redraw(5)
    moved = loop.score(BATCH)
    assert worst(before, moved) > 1e-2
    assert worst(moved, folding.score(BATCH)) < 1e-5
    with loop.at_base():
        assert worst(before, loop.score(BATCH)) < 1e-6
    assert loop.score(BATCH) == moved
    loop.save_weights(tmp_path / "weights.safetensors")
    saved = load_file(tmp_path / "weights.safetensors")
    assert saved["transformer.h.0.attn.c_attn.weight"].shape == (384, 128)
    loop.abandon_probe()
    assert worst(before, loop.score(BATCH)) < 1e-6
    loop.load_weights(tmp_path / "weights.safetensors", 5, 0)
    assert loop.score(BATCH) == moved
    half = FoldingLoop(str(path), fold="residual", **{**COMMON, "dtype": "bfloat16"})
    half.redraw(0)
    half.update(0, [1e-4], 1.0)
    half.redraw(5)
    kept = half.update_kept()
    assert kept is not None and abs(kept.kept - 1) < 1e-3  # what the weight lost is beside it


@needs_vllm
def test_a_model_of_which_vllm_cannot_adapt_all_takes_the_loop_as_well(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path, home: Path
) -> None:
    """Which is found only when vLLM has loaded it."""
    path = write_model("gpt-bigcode", tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (path / file).write_bytes((tiny_models["opt"] / file).read_bytes())
    notes: list[str] = []

    def opened(runtime: str) -> Opened:
        wanted = load("tiny", tiny_run.preset.read_text(), [f"model.path={path}", f"model.runtime={runtime}"])
        return open_run(wanted, lambda *_: None, lambda level, text: notes.append(text))

    with pytest.raises(UserError, match=r"vLLM cannot adapt .*; use --set model\.runtime=training-loop"):
        opened("vllm")
    runtime = opened("auto").runtime
    runtime.close()
    assert runtime.name == "training-loop"
    (told,) = [text for text in notes if "vLLM cannot adapt" in text]
    assert told.endswith(": the slower training-loop runtime is used")


@needs_vllm
def test_a_model_without_lora_in_vllm_takes_the_loop_and_is_exported(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    path = write_model("gpt2", tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (path / file).write_bytes((tiny_models["opt"] / file).read_bytes())
    settings = (f"model.path={path}", "run.steps=4", "method.interval=2", "run.checkpoint_every=4", "method.lr=1e-3")
    refused = tiny_run(*settings, "model.runtime=vllm")
    assert refused.code == 2
    assert "vLLM has no LoRA support for GPT2LMHeadModel; use --set model.runtime=training-loop" in refused.stderr
    run = tiny_run(*settings, "model.runtime=auto")
    assert run.code == 0, run.stderr
    assert run.of("hello")[0]["runtime"] == "training-loop"
    told = [log["text"] for log in run.of("log") if log["text"].startswith("vLLM has no LoRA support")]
    assert told == ["vLLM has no LoRA support for GPT2LMHeadModel: the slower training-loop runtime is used"]
    from engine.export.merged import export_merged
    from engine.runs.directory import RunDir

    export_merged(RunDir(run.folder), tmp_path / "merged")
    tuned = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    saved = load_file(run.folder / "checkpoints/step-00000004/weights.safetensors")
    started = load_file(path / "model.safetensors")
    in_scope = weights_in_scope(tuned)
    assert {matrix.name for matrix, _ in in_scope} == set(saved)
    for matrix, weight in in_scope:
        assert (weight - saved[matrix.name]).abs().max() < 1e-6
        assert (weight.T - started[matrix.name]).abs().max() > 1e-6


def test_capped_attention_scores_are_capped(tmp_path: Path) -> None:
    """transformers' default attention leaves the cap out without a word; `eager` is what the formula says."""
    path = write_model("gemma2", tmp_path)
    loop = TrainingLoop(str(path), **COMMON)
    right, wrong = (
        AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation=how)
        for how in ("eager", "sdpa")
    )
    assert worst(loop.score(BATCH), plain(right, BATCH)) < 1e-5
    assert worst(loop.score(BATCH), plain(wrong, BATCH)) > 1e-3


@pytest.mark.parametrize("family", [name for name in SHAPES if name not in ("gpt2", "opt-40")])
def test_all_linear_layers_of_a_text_model_move_but_the_head(family: str, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(write_model(family, tmp_path))
    linear = {f"{name}.weight" for name, one in model.named_modules() if isinstance(one, torch.nn.Linear)}
    moving = dense([matrix for matrix, _ in weights_in_scope(model)])  # experts have tests of their own
    assert {matrix.name for matrix in moving} == linear - {"lm_head.weight", "embed_out.weight"}


def test_of_a_model_that_sees_the_language_model_alone_moves(tmp_path: Path) -> None:
    path = write_model("gemma3-vision", tmp_path)
    names = [matrix.name for matrix in read_model(str(path), trust_remote_code=False).matrices]
    assert len(names) == 21 and all(name.startswith("model.language_model.layers.") for name in names)
    loop = TrainingLoop(str(path), **COMMON)
    before = loop.score(BATCH)
    loop.redraw(0)
    loop.update(0, [1e-2], 1.0)
    assert worst(before, loop.score(BATCH)) > 1e-3
    kept = dict(AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).named_parameters())
    changed = {name for name, one in loop.model.named_parameters() if not torch.equal(one, kept[name])}
    assert changed == set(names)
    with loop.at_base():  # whose files name the language model in another way
        assert worst(before, loop.score(BATCH)) < 1e-6
