"""Every family with other schedules, ranks, decay, scopes and objectives than the shared recordings have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from engine.parity.recording import Trajectory
from tests.engine.parity.places import RUNTIMES, Places
from tests.engine.recorder_2 import record_2

LORA = {"rank": 4, "scaling": 1.5, "modules": ("q_proj", "v_proj")}
LORA_FA = {"rank": 2, "scaling": 4.0, "modules": ("k_proj", "v_proj", "q_proj", "up_proj", "down_proj")}
MUON = {"family": "zo-muon", "eps": 1e-3, "lr": 1e-2}

VARIANTS: dict[str, dict[str, Any]] = {
    "mezo-linear-schedule": {"family": "mezo", "scope": "all", "eps": 1e-3, "lr": 1e-4, "lr_schedule": "linear"},
    "mezo-lora-linear-decay": {
        "family": "mezo", "scope": "adapter", "adapter": LORA, "eps": 1e-2, "lr": 1e-3, "lr_schedule": "linear",
        "weight_decay": 10.0, "objective": "lm",
    },
    "lozo-m-all-decay": {
        "family": "lozo-m", "scope": "all", "eps": 1e-3, "lr": 1e-4, "rank": 4, "interval": 3, "beta": 0.7,
        "weight_decay": 1.0, "lr_schedule": "linear",
    },
    "lozo-m-interval-1": {
        "family": "lozo-m", "scope": "linear", "eps": 1e-3, "lr": 1e-4, "rank": 1, "interval": 1, "beta": 0.9,
    },
    "fzoo-linear-lm": {
        "family": "fzoo", "scope": "linear", "eps": 1e-3, "lr": 1e-3, "queries": 3, "objective": "lm",
    },
    "zo-muon-one-svd": {
        **MUON, "scope": "linear", "rank": 4, "interval": 3, "queries": 3, "sided": "one", "update": "svd",
        "weight_decay": 0.1,
    },
    "zo-muon-one-plain": {
        **MUON, "scope": "all", "rank": 8, "interval": 4, "queries": 2, "sided": "one", "update": "plain",
        "lr": 1e-4, "weight_decay": 0.1,
    },
    "zo-muon-two-newton-schulz": {
        **MUON, "scope": "all", "rank": 2, "interval": 3, "queries": 1, "sided": "two", "update": "newton-schulz",
        "objective": "lm",
    },
    "hizoo-linear-decay": {
        "family": "hizoo", "scope": "linear", "eps": 1e-3, "lr": 1e-4, "s": 1e-3, "weight_decay": 1.0,
    },
    "p-rge-single": {
        "family": "p-rge", "scope": "adapter", "adapter": LORA_FA, "eps": 1e-2, "lr": 1e-3, "queries": 3,
        "mode": "single", "shards": False,
    },
    "p-rge-shards-lm": {
        "family": "p-rge", "scope": "adapter", "adapter": LORA_FA, "eps": 1e-2, "lr": 1e-3, "queries": 2,
        "mode": "dual", "shards": True, "objective": "lm",
    },
    "conmezo-ramp": {
        "family": "conmezo", "scope": "linear", "eps": 1e-3, "lr": 1e-4, "theta": 1.2, "first_seed": 11,
    },
}  # fmt: skip


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_it_is_followed(
    places: Places, tiny_models: dict[str, Path], tmp_path: Path, variant: str, runtime: str
) -> None:
    model = tiny_models["llama"]
    path = record_2(model, tmp_path / "t.json", **VARIANTS[variant])
    summary = places.replay(path, model, runtime)
    assert summary.max_loss_diff < 6e-6, variant
    assert summary.steps == 8


@pytest.mark.parametrize(
    ("variant", "change"),
    [
        ("mezo-linear-schedule", {"lr_schedule": "constant"}),
        ("mezo-lora-linear-decay", {"weight_decay": 0.0}),
        ("lozo-m-all-decay", {"weight_decay": 0.0}),
        ("lozo-m-all-decay", {"interval": 4}),
        ("lozo-m-interval-1", {"interval": 2}),
        ("zo-muon-one-svd", {"weight_decay": 0.0}),
        ("zo-muon-one-svd", {"update": "newton-schulz"}),
        ("zo-muon-one-plain", {"interval": 3}),
        ("zo-muon-one-plain", {"update": "svd"}),
        ("hizoo-linear-decay", {"weight_decay": 0.0}),
        ("p-rge-shards-lm", {"shards": False}),
        ("conmezo-ramp", {"theta": 1.3}),
        ("conmezo-ramp", {"first_seed": 12}),
    ],
)
def test_what_the_recording_says_is_heeded(
    places: Places, tiny_models: dict[str, Path], tmp_path: Path, variant: str, change: dict[str, Any]
) -> None:
    def otherwise(trajectory: Trajectory) -> Trajectory:
        method = replace(trajectory.method, **change)
        steps = [replace(step, lr=None) for step in trajectory.steps] if "lr_schedule" in change else trajectory.steps
        return replace(trajectory, method=method, steps=steps)

    model = tiny_models["llama"]
    path = record_2(model, tmp_path / "t.json", **VARIANTS[variant])
    assert places.replay(path, model, "training-loop", change=otherwise).max_loss_diff > 2e-5
