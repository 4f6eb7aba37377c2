"""How much of the update survives in float16 and bfloat16 weights, and that a run's figure says so."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.directions.fold import Fold, FoldMode, choose_fold, state
from engine.directions.kept import UpdateKept
from engine.directions.low_rank import directions
from engine.directions.space import Space
from engine.export.rebuild import FoldingLoop
from engine.models.facts import read_model
from engine.models.weights import Matrix
from engine.optimizer import Optimizer
from engine.preflight.memory import Memory, estimate_memory
from engine.preset.method import Method
from engine.protocol.events import Step
from engine.runs.directory import RunDir
from engine.runtimes.base import Needs
from engine.runtimes.training_loop import TrainingLoop
from tests import starting
from tests.engine.conftest import Finished, Runner, needs_vllm
from tests.engine.states import saved, weights_of

CPU = torch.device("cpu")
STEPS, INTERVAL, SEED = 500, 50, 3
HALF = ["bfloat16", "float16"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two OPT blocks, 590,000 parameters in scope, with weights of the usual size: N(0, 0.02^2)."""
    from transformers import OPTConfig, OPTForCausalLM

    config = OPTConfig(
        vocab_size=64,
        hidden_size=192,
        ffn_dim=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        word_embed_proj_dim=192,
        max_position_embeddings=32,
        init_std=0.02,
    )
    folder = tmp_path_factory.mktemp("model")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        OPTForCausalLM(config).save_pretrained(folder)
    return folder


def journal(steps: int = STEPS) -> list[Step]:
    """Steps of lr 1e-7 with projected gradients of 1 to 10 and either sign."""
    random = torch.Generator().manual_seed(SEED)
    sizes = (1 + 9 * torch.rand(steps, generator=random)).tolist()
    signs = torch.randint(2, (steps,), generator=random).mul(2).sub(1).tolist()
    return [
        Step(step=n, projected_grad=size * sign, lr=1e-7, eps=1e-3)
        for n, (size, sign) in enumerate(zip(sizes, signs, strict=True))
    ]


def opened(kind: type[TrainingLoop], model: Path, dtype: str, **more: Any) -> Any:
    return kind(str(model), dtype=dtype, device="cpu", seed=SEED, **more)


def replayed(loop: TrainingLoop, records: list[Step]) -> TrainingLoop:
    """The run of these records, up to the fold that follows it."""
    method = Optimizer(Method(rank=2, interval=INTERVAL), len(records), "classification")
    for record in records:
        method.replay(loop, record)
    loop.redraw(len(records))
    return loop


def intended(matrices: list[Matrix], records: list[Step]) -> torch.Tensor:
    """The sum of -lr g U V^T over all steps, by its definition, in float64; all matrices in one vector."""
    total = []
    for matrix in matrices:
        source = directions("philox", [matrix], Space(rank=2), SEED, CPU)
        u, v = torch.empty(matrix.rows, 2), torch.empty(matrix.cols, 2)
        update = torch.zeros(matrix.rows, matrix.cols, dtype=torch.float64)
        for record in records:
            source.u_into(u.view(-1), record.step, 0)
            source.v_into(v.view(-1), record.step - record.step % INTERVAL)
            update.addmm_(u.double(), v.double().T, alpha=-record.lr * record.projected_grad)
        total.append(update.flatten())
    return torch.cat(total)


def weights(loop: TrainingLoop) -> torch.Tensor:
    """The weights in scope that a forward pass uses, as one float64 vector."""
    named = dict(loop.model.named_parameters())
    return torch.cat([named[m.name].double().flatten() for m in loop.matrices()])


def kept(applied: torch.Tensor, wanted: torch.Tensor) -> UpdateKept:
    dot = applied @ wanted
    return UpdateKept(float(dot / (wanted @ wanted)), float(dot / applied.norm() / wanted.norm()))


def near(figure: UpdateKept | None, exact: UpdateKept) -> bool:
    """Whether a sampled figure is the one over all entries, short of what its sample allows."""
    assert figure is not None
    noise = abs(exact.kept) * (1 / exact.cosine**2 - 1) ** 0.5  # relative to the update
    return abs(figure.cosine - exact.cosine) < 0.02 and abs(figure.kept - exact.kept) < 0.001 + 4 * noise / 49_152**0.5


@pytest.mark.parametrize("dtype", HALF)
def test_the_update_survives_500_steps_of_lr_1e_7(model: Path, dtype: str) -> None:
    records = journal()
    conventional = opened(TrainingLoop, model, dtype)
    before = weights(conventional)
    wanted = intended(conventional.matrices(), records)
    replayed(conventional, records)
    table = {"conventional": kept(weights(conventional) - before, wanted)}
    assert near(conventional.update_kept(), table["conventional"])
    for mode in ("nearest", "stochastic", "residual"):
        loop = opened(FoldingLoop, model, dtype, fold=mode)
        replayed(loop, records)
        table[mode] = kept(weights(loop) - before, wanted)
        residuals = [s.fold.residual for s in loop.learned.states]
        if mode != "residual":
            assert near(loop.update_kept(), table[mode])
            assert residuals == [None] * len(residuals)  # no memory
    # The weights and what stands beside them, at two bytes a parameter.
    assert sum(r.nbytes for r in residuals) == 2 * wanted.numel()
    named = dict(loop.model.named_parameters())
    both = torch.cat([state(named[s.matrix.name], s.fold.residual).double().flatten() for s in loop.learned.states])
    table["residual, with it"] = kept(both - before, wanted)
    assert near(loop.update_kept(), table["residual, with it"])
    print()
    for name, found in table.items():
        print(f"{dtype}  {name:<18} kept {found.kept:7.4f}  cosine {found.cosine:.5f}")
    assert table["residual, with it"].cosine >= 0.999
    assert abs(table["residual, with it"].kept - 1) < 0.001
    assert 0.98 <= table["stochastic"].kept <= 1.02
    assert table["stochastic"].cosine > 2 * table["conventional"].cosine
    assert table["residual"].cosine > table["nearest"].cosine > table["conventional"].cosine
    assert table["conventional"].cosine < 0.1


def test_float32_weights_keep_the_update_by_themselves(model: Path) -> None:
    assert [choose_fold(wanted, "float32") for wanted in ("auto", "residual", "stochastic")] == ["nearest"] * 3
    assert [choose_fold(wanted, "float16") for wanted in ("auto", "stochastic")] == ["residual", "stochastic"]
    figure = replayed(opened(FoldingLoop, model, "float32", fold="nearest"), journal(100)).update_kept()
    assert figure is not None
    assert figure.cosine > 0.9999
    assert abs(figure.kept - 1) < 1e-4


def test_memory_is_counted_where_there_is_a_residual(model: Path) -> None:
    facts = read_model(str(model), trust_remote_code=False)
    scope = sum(m.rows * m.cols for m in facts.matrices)

    def estimate(**settings: Any) -> Memory:
        return estimate_memory(facts, Needs(2, 20, 2, 1), Method(), dtype="float16", device="cpu", **settings)

    plain = estimate(runtime="vllm", fold="stochastic")
    assert estimate(runtime="vllm", fold="residual") == replace(plain, residuals=2 * scope)
    loop = estimate(runtime="training-loop", fold="residual")
    assert loop == estimate(runtime="training-loop", fold="nearest")  # no fold, no residual


# -- one fold --------------------------------------------------------------------------------------------


def folded(mode: FoldMode, weight: torch.Tensor, change: torch.Tensor, step: int = 1, name: str = "w") -> Fold:
    """Fold `change`, (rows, cols), into `weight` in place."""
    rows, cols = weight.shape
    fold = Fold(Matrix(name, rows, cols), mode, SEED, CPU)
    fold.add(weight, fold.residual, change.float(), torch.eye(cols), step)
    return fold


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_how_much_is_folded_at_a_time_changes_no_bit_where_there_is_a_residual(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    start, change = torch.randn(300, 70).mul_(0.02).to(dtype), torch.randn(300, 70) * 1e-4
    results = []
    for entries in (2**18, 70, 1000):
        monkeypatch.setattr("engine.directions.fold._CACHED", entries)
        weight = start.clone()
        residual = folded("residual", weight, change).residual
        assert residual is not None and residual.any()
        results.append((weight, residual))
    for weight, residual in results:
        assert torch.equal(weight, results[0][0]) and torch.equal(residual, results[0][1])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_stochastic_rounding_takes_the_two_neighbours_and_is_right_on_average(dtype: torch.dtype, sign: int) -> None:
    infinite = torch.tensor([torch.inf], dtype=dtype).view(torch.int16).item()
    numbers = torch.arange(infinite, dtype=torch.int16).view(dtype).double()  # all that are finite, in order
    normal = int((numbers < torch.finfo(dtype).smallest_normal).sum())
    one = int((numbers < 1).sum())
    for low in (0, 1, 20, normal - 1, normal, int((numbers < 0.02).sum()), one - 1, one):
        for start, end in ((low, low + 1), (low + 1, low)):  # up and down
            weight = (sign * numbers[start]).to(dtype).repeat(200, 200)
            gap = numbers[end] - numbers[start]
            folded("stochastic", weight, (0.3 * sign * gap).repeat(200, 200))
            moved = (sign * weight.double() - numbers[start]) / gap
            assert set(moved.unique().tolist()) == {0.0, 1.0}
            assert abs(moved.mean() - 0.3) < 4 * (0.3 * 0.7 / moved.numel()) ** 0.5, numbers[start]


@pytest.mark.parametrize("mode", ["stochastic", "residual", "nearest"])
def test_what_a_weight_can_hold_is_folded_exactly(mode: FoldMode) -> None:
    weight = torch.linspace(-2, 2, 64).reshape(8, 8).to(torch.bfloat16)
    before = weight.clone()
    folded(mode, weight, before)
    assert torch.equal(weight, before * 2)


def test_the_noise_of_a_fold_depends_on_step_and_name_and_not_on_the_rest_of_the_world() -> None:
    def bits(**which: Any) -> torch.Tensor:
        weight = torch.full((300, 200), 0.02, dtype=torch.bfloat16)
        folded("stochastic", weight, torch.full(weight.shape, 4e-5), **which)
        return weight > 0.02

    first = bits()
    torch.rand(5)
    assert torch.equal(first, bits())
    for other in (bits(step=2), bits(name="other")):
        assert 0.3 < (first == other).double().mean() < 0.7


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mode", ["stochastic", "residual"])
def test_a_matrix_of_many_chunks_is_folded_all_through(
    monkeypatch: pytest.MonkeyPatch, mode: FoldMode, dtype: torch.dtype
) -> None:
    monkeypatch.setattr("engine.directions.fold._CHUNK", 2000)
    weight = torch.randn(100, 300, generator=torch.Generator().manual_seed(0)).mul_(0.02).to(dtype)
    start = weight.double()
    change = torch.randn(100, 300, generator=torch.Generator().manual_seed(1)) * 1e-4
    fold = folded(mode, weight, change)
    moved = state(weight, fold.residual).double() - start
    for part, wanted in zip(moved.split(6), change.double().split(6), strict=True):
        assert abs(kept(part.flatten(), wanted.flatten()).kept - 1) < 0.2
    if mode == "residual":
        assert (moved - change).abs().max() < 1e-8  # a float32's worth


# -- a run -----------------------------------------------------------------------------------------------


def branch(run: Finished, name: str, steps: int, keep: str = "none") -> Path:
    """A copy of a run as it was after `steps` steps, with only the checkpoints that match `keep`."""
    folder = run.folder.with_name(name)
    shutil.copytree(run.folder, folder)
    copied = RunDir(folder)
    lines = copied.journal_file.read_text().splitlines(keepends=True)
    copied.journal_file.write_text("".join(lines[:steps]))
    for checkpoint in copied.checkpoints.glob("step-*"):
        if not checkpoint.match(keep):
            shutil.rmtree(checkpoint)
    copied.info.update(state="stopped")
    return folder


def same(first: Path, second: Path, least: int) -> bool:
    a, b = load_file(first), load_file(second)
    return len(a) >= least and a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@needs_vllm
def test_a_run_in_bfloat16_is_resumed_and_exported_bit_for_bit(tiny_run: Runner, tiny_models: dict[str, Path]) -> None:
    run = tiny_run(
        *(f"model.path={tiny_models['opt']}", "model.runtime=vllm", "model.dtype=bfloat16"),
        *("run.steps=31", "run.checkpoint_every=15", "method.lr=1e-5"),
    )
    assert run.code == 0, run.stderr
    assert any("folds: a residual beside the weights" in log["text"] for log in run.of("log"))
    resumed = tiny_run(folder=branch(run, "run-resumed", 17, "step-00000015"), command="resume")
    assert resumed.code == 0, resumed.stderr
    assert same(saved(run.folder, 31), saved(resumed.folder, 31), least=25)  # as of the fold at step 30
    # The model after 30 steps, whose export folds what this run folds at step 30.
    target = run.folder.with_name("tuned")
    exported = branch(run, "run-exported", 30)
    starting.run(["-m", "zotui", "export", str(exported), "--to", str(target), "--format", "merged"], check=True)
    used = {name: w for name, w in weights_of(run.folder, 31).items() if not name.endswith(".residual")}
    merged = load_file(target / "model.safetensors")
    assert len(used) == 24
    assert all(torch.equal(merged[name], weight) for name, weight in used.items())
    # The figure goes with the first step after each fold, and into the journal.
    told = [step for step in run.of("step") if "update_kept" in step]
    assert [step["step"] for step in told] == [10, 20, 30]
    assert all(abs(step["update_kept"] - 1) < 0.001 and step["update_cosine"] > 0.999 for step in told)
    shown = starting.run(["-m", "zotui", "show", str(run.folder), "--json"], check=True)
    newest = told[-1]
    assert json.loads(shown.stdout)["update_kept"] == {
        "step": 30,
        "kept": newest["update_kept"],
        "cosine": newest["update_cosine"],
    }
    journaled = [step.update_kept for step in RunDir(run.folder).journal() if step.update_kept is not None]
    assert journaled == [step["update_kept"] for step in told]


def test_the_training_loop_tells_its_figure_too(tiny_run: Runner) -> None:
    def figures(*settings: str) -> list[dict[str, Any]]:
        run = tiny_run("run.steps=11", "method.lr=1e-7", *settings)
        assert run.code == 0, run.stderr
        return [step for step in run.of("step") if "update_kept" in step]

    (exact,) = figures()
    assert exact["step"] == 10
    assert exact["update_cosine"] > 0.9
    (half,) = figures("model.dtype=bfloat16")
    assert half["update_cosine"] < 0.2
