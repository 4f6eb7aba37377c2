"""Runs as engines leave them behind, with losses and figures that are the same every time."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from engine.preset.load import load
from engine.runs.directory import RunDir
from engine.runs.journal import encode_line
from engine.runs.usage import GpuUsage, Usage

PRESET = '[model]\npath = "facebook/opt-1.3b"\n[task]\nname = "sst2"\n[run]\nsteps = 2000\n'


def noise(number: float, seed: int) -> float:
    """Between -0.5 and 0.5."""
    return (math.sin(number * 12.9898 + seed) * 43758.5453) % 1 - 0.5


def line(step: int, seed: int = 0, rate: float = 1.0, lr: float = 1e-6, seconds: float = 0.02) -> bytes:
    """A step as the journal has it."""
    loss = 0.35 + 0.36 * math.exp(-step * rate / 400) + 0.2 * noise(step, seed)
    record = {
        "step": step, "loss": loss, "loss_plus": loss + 0.001, "loss_minus": loss - 0.001,
        "projected_grad": 4 * noise(step + 0.5, seed), "lr": lr, "eps": 1e-3, "seed": seed, "drew": "cpu",
        "tokens": 512 + round(100 * noise(step + 0.3, seed)), "seconds": seconds,
    }  # fmt: skip
    return encode_line(record)


def recorded(
    path: Path,
    steps: int = 2000,
    *,
    standing: str = "finished",
    seed: int = 0,
    rate: float = 1.0,
    lr: float = 1e-6,
    seconds: float = 0.02,
    runtime: str = "vllm",
    every: int = 200,
) -> RunDir:
    """A run of `steps` steps of 2,000 that learns at a rate, evaluated now and then."""
    run = RunDir.create(load("p", PRESET, [f"method.lr={lr}", f"run.seed={seed}"]), "opt-1.3b-sst2", path)
    run.info.update(
        state=standing, runtime=runtime, device="cuda:0 (NVIDIA H200)", dtype="float16", started=1_760_000_000.0 + seed,
        time={"start_up": 21.0, "evaluations": 33.0},
    )  # fmt: skip
    run.journal_file.write_bytes(b"".join(line(step, seed, rate, lr, seconds) for step in range(steps)))
    for step in range(0, steps + 1, every):
        left = math.exp(-step * rate / 500)
        metrics = {"loss": 0.4 + 0.3 * left, "accuracy": 0.93 - 0.33 * left + 0.01 * noise(step, seed)}
        run.add_evaluation({"step": step, "split": "validation", "metrics": metrics, "examples": 872})
    return run


def take(run: RunDir, *lines: Usage) -> None:
    """Put on record what a run took; one line of a GPU where none are given."""
    gpu = GpuUsage(
        index=3, name="NVIDIA H200", ours=True, memory_used_peak=round(31.2 * 2**30), memory_total=140 * 2**30,
        utilisation_mean=0.9,
    )  # fmt: skip
    line = Usage(
        at=1.76e9, seconds=30.0, step=1000, kv_cache_usage_mean=0.41, kv_cache_usage_peak=0.52,
        rss_peak=round(2.5 * 2**30), cpu_mean=1.8, gpus=[gpu],
    )  # fmt: skip
    run.usage_file.write_bytes(b"".join(encode_line(msgspec.to_builtins(one)) for one in lines or [line]))


def three(folder: Path) -> list[RunDir]:
    """Three that differ in learning rate, seed and runtime; one was stopped."""
    return [
        recorded(folder / "opt-1.3b-sst2-20261120-101500"),
        recorded(folder / "opt-1.3b-sst2-20261121-120000", lr=3e-6, rate=1.6, runtime="training-loop", seconds=0.055),
        recorded(folder / "opt-1.3b-sst2-seed-1-20261122", 1400, seed=1, rate=1.2, standing="stopped"),
    ]
