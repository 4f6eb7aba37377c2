"""An exported adapter is what the run learned: peft and vLLM load it, and score as the run ended."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.environment import absent
from engine.preset.load import load_file as load_preset
from engine.tasks import objective
from engine.tasks.example import Example
from engine.tasks.load import load_task
from tests.engine.conftest import Finished, Runner, needs_vllm
from tests.engine.export.test_export import export
from tests.families.models import write_model

pytest.importorskip("peft", reason="needs peft: pip install -e '.[test]'")
FORMAT = ("--format", "adapter")


def scored(run: Finished, scores: Callable[[Sequence[Example]], objective.Scores]) -> float:
    """The loss over the validation split of a run."""
    from transformers import AutoTokenizer

    wanted = load_preset(run.folder / "preset.toml")
    task = load_task(wanted.task, AutoTokenizer.from_pretrained(wanted.model.path), seed=0, max_length=256)
    return objective.metrics("classification", task.validation, scores(task.validation))["loss"]


def by_peft(model: Path, adapter: Path, dtype: torch.dtype = torch.float32) -> Callable[..., objective.Scores]:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model, dtype=dtype), adapter).eval()

    @torch.inference_mode()
    def scores(examples: Sequence[Example]) -> objective.Scores:
        found = []
        for example in examples:
            row = []
            for option in example.options:
                ids = torch.tensor([*example.prompt, *option])
                logits = tuned(input_ids=ids[None]).logits[0].float().log_softmax(-1)
                places = torch.arange(len(example.prompt), len(ids))
                row.append(float(logits[places - 1, ids[places]].double().sum()))
            found.append(row)
        return found

    return scores


def losses(run: Finished) -> tuple[float, float]:
    """Before the first step, and after the last."""
    start, end = (run.of("eval")[place]["metrics"]["loss"] for place in (0, -1))
    assert abs(start - end) > 1e-4  # the run did move
    return start, end


# -- all of it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "settings"),
    [
        ("opt", ["method.name=lozo"]),
        (
            "llama",
            ["method.name=subzero", "method.rank=3", "method.interval=10", "method.lr=1e-2"],
        ),  # a core between two bases
        ("llama", ["method.name=zo-muon", "method.rank=8", "method.interval=10", "method.lr=1e-2"]),
        ("opt", ["method.name=lozo-m", "method.interval=10"]),
        ("llama", ["method.name=mezo-lora"]),
        ("opt", ["method.name=mobizo"]),
    ],
)
def test_peft_scores_with_the_adapter_as_the_run_ended(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path, layout: str, settings: list[str]
) -> None:
    model = tiny_models[layout]
    run = tiny_run(f"model.path={model}", "method.lr=1e-3", *settings, "run.steps=25")
    assert run.code == 0, run.stderr
    done = export(run, tmp_path / "adapter", *FORMAT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "adapter")
    _, end = losses(run)
    assert scored(run, by_peft(model, tmp_path / "adapter")) == pytest.approx(end, abs=1e-5)
    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    rank = load_preset(run.folder / "preset.toml").method.rank
    learned = rank if "lora" in settings[0] or "mobizo" in settings[0] else 3 * rank
    assert (config["r"], config["base_model_name_or_path"]) == (learned, str(model))
    if learned != rank:
        assert f"rank {learned} of the {learned} that was learned: 100.00% of its energy" in done.stderr
        assert "validation loss of 48 examples" in done.stderr


def test_weights_that_are_transposed_have_an_adapter_as_well(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    model = write_model("gpt2", tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tiny_models["llama"] / name, model / name)
    run = tiny_run(f"model.path={model}", "method.lr=1e-3", "run.steps=25")
    assert run.code == 0, run.stderr
    done = export(run, tmp_path / "adapter", *FORMAT)
    assert done.returncode == 0, done.stderr
    assert scored(run, by_peft(model, tmp_path / "adapter")) == pytest.approx(losses(run)[1], abs=1e-5)


@needs_vllm
@pytest.mark.parametrize("layout", ["llama", "opt"])  # packs q, k and v, gate and up; packs q, k and v
def test_vllm_scores_with_the_adapters_of_a_layout_as_their_runs_ended(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path, layout: str
) -> None:
    runs = []
    for method in ("lozo", "mezo-lora"):
        settings = (f"model.path={tiny_models[layout]}", "method.lr=1e-3", f"method.name={method}", "run.steps=25")
        run = tiny_run(*settings, "model.runtime=vllm")
        assert run.code == 0, run.stderr
        done = export(run, tmp_path / method, *FORMAT)
        assert done.returncode == 0, done.stderr
        runs.append((method, run))
    places: list[tuple[list[int], int]] = []

    def noted(examples: Sequence[Example]) -> objective.Scores:
        places.extend(([*e.prompt, *o[:n]], o[n]) for e in examples for o in e.options for n in range(len(o)))
        return [[0.0] * len(e.options) for e in examples]

    scored(runs[0][1], noted)
    adapters = [None, *(str(tmp_path / method) for method, _ in runs)]
    asked = {"model": str(tiny_models[layout]), "adapters": adapters, "places": places, "to": str(tmp_path / "found")}
    given = {**os.environ, "ZOTUI_TEST_ABSENT": " ".join(absent())}
    command = [sys.executable, "-m", "tests.engine.export.vllm_scores"]
    subprocess.run(command, input=json.dumps(asked), text=True, check=True, env=given, stdout=subprocess.DEVNULL)
    base, *others = json.loads((tmp_path / "found").read_text(encoding="utf-8"))

    def as_found(found: Sequence[float]) -> Callable[[Sequence[Example]], objective.Scores]:
        each = iter(found)
        return lambda examples: [[sum(next(each) for _ in o) for o in e.options] for e in examples]

    for (_, run), found in zip(runs, others, strict=True):
        start, end = losses(run)
        assert scored(run, as_found(found)) == pytest.approx(end, abs=1e-5)
        assert scored(run, as_found(base)) == pytest.approx(start, abs=1e-5)


# -- cut down, rounded, refused ----------------------------------------------------------------------------


def delta(adapter: Path) -> dict[str, torch.Tensor]:
    """What an adapter adds to each matrix, in float64."""
    tensors = load_file(adapter / "adapter_model.safetensors")
    config = json.loads((adapter / "adapter_config.json").read_text())
    scale = config["lora_alpha"] / config["r"]
    stems = {name.partition(".lora_")[0] for name in tensors}
    return {
        stem: scale * tensors[f"{stem}.lora_B.weight"].double() @ tensors[f"{stem}.lora_A.weight"].double()
        for stem in stems
    }


def test_an_adapter_that_is_cut_down_says_what_is_lost(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    run = tiny_run("method.lr=1e-3", "run.steps=50")
    assert export(run, tmp_path / "whole", *FORMAT).returncode == 0
    done = export(run, tmp_path / "cut", *FORMAT, "--rank", "3")
    assert done.returncode == 0, done.stderr
    whole, cut = delta(tmp_path / "whole"), delta(tmp_path / "cut")
    assert all(torch.linalg.matrix_rank(one) == 10 for one in whole.values())
    values = [torch.linalg.svdvals(one).square() for one in whole.values()]
    kept = sum(float(one[:3].sum()) for one in values) / sum(float(one.sum()) for one in values)
    assert 0.3 < kept < 0.9
    assert f"rank 3 of the 10 that was learned: {kept:.2%} of its energy" in done.stderr
    lost = sum(float((whole[name] - cut[name]).square().sum()) for name in whole)
    assert lost == pytest.approx((1 - kept) * sum(float(one.square().sum()) for one in whole.values()), rel=1e-4)
    # The losses that it tells are peft's.
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("validation loss")]
    own, with_adapter = (float(word) for word in line.split() if word.startswith("0."))
    assert own == pytest.approx(losses(run)[1], abs=1e-5)
    assert with_adapter == pytest.approx(scored(run, by_peft(tiny_models["one-layer"], tmp_path / "cut")), abs=1e-5)
    assert abs(own - with_adapter) > 1e-5


@needs_vllm
@pytest.mark.parametrize(
    ("runtime", "lr", "apart"), [("vllm", "1e-4", (0.005, 0.5)), ("training-loop", "2e-5", (0.1, 9))]
)
def test_in_16_bits_it_says_how_far_the_rounded_weights_are_from_base_and_adapter(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path, runtime: str, lr: str, apart: tuple[float, float]
) -> None:
    model = tiny_models["llama"]
    settings = (f"model.path={model}", f"model.runtime={runtime}", "model.dtype=bfloat16", f"method.lr={lr}")
    run = tiny_run(*settings, "run.steps=25")
    assert run.code == 0, run.stderr
    done = export(run, tmp_path / "adapter", *FORMAT)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("the run's own weights are rounded to")]
    told = float(line.partition("differ by ")[2].partition("%")[0]) / 100
    assert export(run, tmp_path / "merged", "--dtype", "bfloat16").returncode == 0
    base, own = (load_file(folder / "model.safetensors") for folder in (model, tmp_path / "merged"))
    away = whole = 0.0
    for stem, one in delta(tmp_path / "adapter").items():
        name = f"{stem.removeprefix('base_model.model.')}.weight"
        away += float((own[name].double() - base[name].bfloat16().double() - one).square().sum())
        whole += float(one.square().sum())
    assert told == pytest.approx(math.sqrt(away / whole), rel=0.1)
    assert apart[0] < told < apart[1]
    loss = scored(run, by_peft(model, tmp_path / "adapter", torch.bfloat16))
    assert loss == pytest.approx(run.of("eval")[-1]["metrics"]["loss"], abs=5e-3)


@pytest.mark.parametrize(
    ("settings", "options", "said"),
    [
        (
            ["method.name=mezo"], (),
            "--format adapter: mezo moves every weight by itself, which no adapter of a low rank can hold; "
            "use --format merged",
        ),
        (
            ["method.interval=1", "run.steps=65"], (),
            "--format adapter: 65 intervals of rank 2 make 130, and model.decoder.layers.0.self_attn.k_proj.weight has "
            "128; cut it down with --rank 64, or use --format merged",
        ),
        (["run.steps=1"], ("--rank", "0"), "--rank 0: is 1 to 512, the most that vLLM serves"),
        (["run.steps=1"], ("--rank", "513"), "--rank 513: is 1 to 512, the most that vLLM serves"),
        (["run.steps=1"], ("--dtype", "float16"), "--dtype float16: is for --format merged"),
        (
            ["method.name=mezo-lora", "run.steps=1"], ("--rank", "3"),
            "--rank 3: this adapter was trained with rank 8; leave --rank out",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_an_adapter_is_refused_in_a_line(
    tiny_run: Runner, tmp_path: Path, settings: list[str], options: Sequence[str], said: str
) -> None:
    run = tiny_run(*settings)
    assert run.code == 0, run.stderr
    done = export(run, tmp_path / "adapter", *FORMAT, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"zotui: {said}\n"
    assert not (tmp_path / "adapter").exists()


def test_experts_are_refused(tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    run = tiny_run(f"model.path={tiny_models['mixtral']}", "run.steps=1")
    done = export(run, tmp_path / "adapter", *FORMAT)
    assert done.returncode == 2
    assert "experts of a mixture moved, for which peft has no such adapter; use --format merged" in done.stderr


def test_more_intervals_than_a_matrix_has_rows_are_cut_down(tiny_run: Runner, tmp_path: Path) -> None:
    run = tiny_run("method.interval=1", "method.lr=1e-3", "run.steps=70")
    done = export(run, tmp_path / "adapter", *FORMAT, "--rank", "64")
    assert done.returncode == 0, done.stderr
    assert "rank 64 of the 140 that was learned: 9" in done.stderr
    assert export(run, tmp_path / "merged", "--dtype", "float32").returncode == 0
    base, own = (load_file(Path(path) / "model.safetensors") for path in (_model(run), tmp_path / "merged"))
    for stem, one in delta(tmp_path / "adapter").items():
        name = f"{stem.removeprefix('base_model.model.')}.weight"
        moved = own[name].double() - base[name].double()
        values = torch.linalg.svdvals(moved).square()
        assert float((moved - one).square().sum()) < 1.02 * float(values[64:].sum()) + 1e-4 * float(values.sum())


def _model(run: Finished) -> str:
    return load_preset(run.folder / "preset.toml").model.path
