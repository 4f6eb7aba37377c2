"""`zotui bench`: what it measures is what it says. How fast things are, no test asks."""

from __future__ import annotations

import json
import statistics
import subprocess
from pathlib import Path

import pytest

from engine.benchmark.batches import SST2_LENGTHS, examples
from engine.benchmark.measure import Case, sum_up
from engine.benchmark.side import Config, Ready, Turn
from engine.protocol.figures import BenchFigures, PathFigures
from tests import starting
from tests.benchmarks.scaling import report
from tests.engine.conftest import needs_vllm


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    return starting.run(["-m", "zotui", "bench", *options])


@needs_vllm
def test_all_paths_of_a_real_model_are_timed_and_agree(tiny_models: dict[str, Path]) -> None:
    options = ("--batch-size", "4", "--rounds", "1", "--queries", "2", "--interval", "2")
    done = bench("--model", str(tiny_models["llama"]), *options, "--json")
    assert done.returncode == 0, done.stderr
    (found,) = map(json.loads, done.stdout.splitlines())
    for path in ("loop", "vllm", "floor", "public"):
        one = found[path]
        assert 0 < one["min_s"] <= one["median_s"] <= one["max_s"]
        assert one["peak_bytes"] > 2**28
    lengths = [len(e.prompt) for e in examples(4, vocabulary=512, options=2, option_tokens=1, length=None, seed=0)]
    # Two queries, two signs: vllm scores each prompt once, the BOS token once; the loop each prompt and option.
    assert found["vllm"]["tokens"] == found["floor"]["tokens"] == 4 * (sum(lengths) - 3)
    assert found["loop"]["tokens"] == 4 * 2 * (sum(lengths) + 4)
    assert found["loop"]["padded_tokens"] == 4 * 8 * (max(lengths) + 1)
    assert found["speedup"] == found["loop"]["median_s"] / found["vllm"]["median_s"]
    assert found["vllm"]["min_s"] / found["floor"]["max_s"] <= found["floor_ratio"]
    assert found["floor_ratio"] <= found["vllm"]["max_s"] / found["floor"]["min_s"]
    assert 0 < found["overhead_share"] < 1
    # A step's seconds have its share of a fold, or of the loop's redraw; the floor's have not.
    assert found["interval"] == 2
    for path, whole in (("vllm", "fold_s"), ("public", "fold_s"), ("loop", "redraw_s")):
        assert 0 < found[whole] / 2 < found[path]["min_s"]
    assert found["loss_difference"] < 1e-5


@needs_vllm
def test_the_steps_of_another_method_are_timed(tiny_models: dict[str, Path]) -> None:
    options = ("--batch-size", "4", "--rounds", "1", "--method", "fzoo", "--queries", "3")
    done = bench("--model", str(tiny_models["llama"]), *options, "--path", "loop", "--path", "vllm", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = map(json.loads, done.stdout.splitlines())
    assert (found["method"], found["rank"], found["queries"]) == ("fzoo", 2, 3)
    lengths = [len(e.prompt) for e in examples(4, vocabulary=512, options=2, option_tokens=1, length=None, seed=0)]
    # Three queries on one side, and the weights themselves.
    assert found["vllm"]["tokens"] == 4 * (sum(lengths) - 3)
    assert found["loop"]["tokens"] == 4 * 2 * (sum(lengths) + 4)
    assert found["loop"]["padded_tokens"] == 4 * 8 * (max(lengths) + 1)
    assert found["loss_difference"] < 1e-5


def test_a_method_that_is_not_there_or_has_more_parts_than_the_batch_is_refused(tiny_models: dict[str, Path]) -> None:
    model = ("--model", str(tiny_models["llama"]), "--device", "cpu")
    for more, said in (
        (("--method", "sgd"), "--method sgd: not one of fast, lozo, "),
        (("--method", "fast", "--batch-size", "4"), "--batch-size 4: fast has directions for 8 parts of a batch"),
    ):
        done = bench(*model, *more)
        assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1


@needs_vllm
def test_a_named_shape_needs_no_files_and_prints_a_table() -> None:
    done = bench("--model", "opt-125m", "--batch-size", "1", "--rounds", "1", "--length", "4", "--dtype", "bfloat16")
    assert done.returncode == 0, done.stderr
    assert "opt-125m (125M parameters), bfloat16, cpu" in done.stdout
    assert "speedup over the loop" in done.stdout
    shares = [line for line in done.stdout.splitlines() if "of each step above are its share" in line]
    assert len(shares) == 2 and all("once in 50 steps" in line for line in shares)
    assert "round 1/1" in done.stderr and "Traceback" not in done.stderr


def test_what_cannot_be_measured_is_refused_in_one_line() -> None:
    for options, reason in (
        (["--model", "opt-12b"], "--model opt-12b: neither a model's folder nor one of opt-125m"),
        (["--device", "gpu"], "--device gpu: not a device"),
        (["--path", "loops"], "--path loops: not one of loop, vllm, floor, public"),
        (["--model", "opt-66b"], "needs about"),
        (["--length", "3000"], "more than the model's 2048"),
    ):
        done = bench(*options, "--json")
        assert (done.returncode, done.stdout) == (2, "")
        assert reason in done.stderr
        assert len(done.stderr.splitlines()) <= 3


def test_lengths_follow_the_data_set_at_every_batch_size() -> None:
    for count in (16, 32, 128):
        batch = examples(count, vocabulary=1000, options=2, option_tokens=2, length=None, seed=0)
        mean = statistics.fmean(len(e.prompt) for e in batch)
        assert abs(mean - statistics.fmean(SST2_LENGTHS)) < 0.5
        assert {len(option) for e in batch for option in e.options} == {2}


def result(parameters: int, tokens: int, rank: int, seconds: float) -> BenchFigures:
    step = PathFigures(median_s=seconds, min_s=seconds, max_s=seconds, tokens=tokens, peak_bytes=1)
    return BenchFigures(
        model=f"m{parameters}", device="cpu", rounds=1, dtype="float32", batch_size=1, options=2, option_tokens=1,
        length=None, rank=rank, queries=1, interval=50, loop=None, vllm=step, floor=step, public=None, speedup=None,
        floor_ratio=1.05, overhead_share=0.01, fold_s=0.1, redraw_s=None, recorded_shapes=0, loss_difference=None,
        threads=2, parameters=parameters, scope_parameters=parameters, factors_per_rank=0, hardware={}, versions={},
    )  # fmt: skip


def test_the_scaling_report_fits_what_the_model_says() -> None:
    results = [result(p, 100, 2, 2 * 100 * p / 1e6) for p in (1000, 2000, 8000)]
    lines = report(results)
    assert "Fitted throughput: 1e+06" in lines[0]
    assert "| m8000 | 1 | SST-2 | 2 | 1 | 100 | 1.600 | 1.600 | 1.050 |" in lines
    (growth,) = [line for line in lines if line.startswith("- ")]
    assert growth == "- model: seconds grow as its power 1.00, over 3 values"
    assert len([line for line in lines if line.startswith("Estimate, not a measurement")]) == 2


def test_a_step_has_its_share_of_a_fold_in_every_figure() -> None:
    config = Config(
        side="vllm", model="", random_weights=True, dtype="float16", device="cpu", batch_size=1, options=2,
        option_tokens=1, length=None, rank=2, queries=1,
    )  # fmt: skip
    machine = Ready(threads=1, parameters=1, scope_parameters=1, factors_per_rank=1, hardware={}, versions={})
    seconds = {"loop": 4.0, "vllm": 1.0, "floor": 0.5, "public": 2.0, "fold": 10.0, "redraw": 1.0}
    turns = {name: [Turn(seconds=one, forward_seconds=0.6, loss=1.0)] * 3 for name, one in seconds.items()}
    turns |= {f"first {path}": turns[path] for path in ("loop", "vllm")}
    peaks = {path: 1 for path in ("loop", "vllm", "floor", "public")}
    found = sum_up(Case("any", "cpu", config, config, rounds=3, interval=20), machine, turns, peaks)
    assert found.loop and found.vllm and found.floor and found.public
    assert (found.loop.median_s, found.vllm.median_s, found.public.median_s) == (4.05, 1.5, 2.5)
    assert (found.vllm.min_s, found.vllm.max_s, found.floor.median_s) == (1.5, 1.5, 0.5)
    assert (found.speedup, found.floor_ratio) == (4.05 / 1.5, 3.0)
    assert found.overhead_share == pytest.approx(0.6)  # 0.6 of 1.5 s are the forward pass
    assert (found.interval, found.fold_s, found.redraw_s) == (20, 10.0, 1.0)
