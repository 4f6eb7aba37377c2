"""A run of each kind of method is the same run, bit for bit, whatever happens in between; and goes on as a fork."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.protocol.commands import Pause, Resume, Stop
from engine.protocol.events import Done, State, Step
from engine.runs.directory import RunDir
from engine.runs.fork import fork
from tests.engine.conftest import needs_vllm
from tests.engine.training.test_determinism import trajectory
from tests.live_engine import Engine
from tests.methods.cases import settings

STEPS = 32


@pytest.mark.parametrize(
    ("case", "runtime"),
    [
        ("subzero+", "training-loop"),
        pytest.param("zo-muon, momentum, two sides", "vllm", marks=needs_vllm),
    ],
)
def test_a_run_that_is_paused_killed_resumed_and_forked_is_the_run_that_nothing_disturbed(
    start: Any, tiny_models: dict[str, Path], tmp_path: Path, case: str, runtime: str
) -> None:
    model = tiny_models["opt" if runtime == "vllm" else "one-layer"]
    asked = [f"model.path={model}", f"model.runtime={runtime}", f"run.steps={STEPS}", "run.batch_size=4"]
    asked += ["run.checkpoint_every=7", *settings(case)]
    undisturbed = start(*asked)
    assert undisturbed.finish() == 0

    first = start(*asked)
    first.until(Step, step=5)
    first.send(Pause())
    first.until(State, state="paused")
    first.send(Resume())
    first.until(Step, step=16)
    os.kill(first.process.pid, signal.SIGKILL)
    first.finish()
    second = Engine(first.run, resume=True)
    second.until(Step, step=24)
    second.send(Stop())
    assert second.until(Done).steps < STEPS
    assert second.finish() == 130
    assert Engine(first.run, resume=True).finish() == 0

    # From within an interval whose basis state was carried into, over a checkpoint that is older.
    forked = Engine(fork(undisturbed.run, 27, (), tmp_path / "forked"), resume=True)
    assert forked.finish() == 0
    for run in (first.run, forked.run):
        assert trajectory(run) == trajectory(undisturbed.run)
        ours, theirs = (load_file(_last(one)) for one in (run, undisturbed.run))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def _last(run: RunDir) -> Path:
    return run.checkpoints / f"step-{STEPS:08d}" / "weights.safetensors"
