"""A run of each kind of method is the same run, bit for bit, whatever happens in between; and goes on as a fork.

Of every method by its name, on both runtimes, with `ZOTUI_LONG_TESTS=1`; else of two that have the most to carry over.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.export.merged import export_merged
from engine.methods.catalogue import METHODS
from engine.protocol.commands import Pause, Resume, Stop
from engine.protocol.events import Done, State, Step
from engine.runs.directory import RunDir
from engine.runs.fork import fork
from tests.engine.conftest import needs_vllm
from tests.engine.states import saved
from tests.engine.training.test_determinism import trajectory
from tests.live_engine import Engine
from tests.methods.cases import settings

STEPS = 32
RUNTIMES = ["training-loop", pytest.param("vllm", marks=needs_vllm)]
DISTURBED = [("subzero+", "training-loop"), ("zo-muon, momentum, two sides", "vllm")]
if os.environ.get("ZOTUI_LONG_TESTS"):
    DISTURBED += [(name, runtime) for name in METHODS for runtime in ("training-loop", "vllm")]


@needs_vllm
@pytest.mark.parametrize(("case", "runtime"), DISTURBED)
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


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_direction_for_every_example_is_a_shard_for_each_and_follows_the_batch_of_a_fork(
    start: Any, tmp_path: Path, runtime: str
) -> None:
    """Killed and resumed, then forked with another batch, and exported: all steps are done again as they were."""
    asked = [f"model.runtime={runtime}", "run.steps=12", "run.batch_size=4", "method.name=grzo", "method.interval=5"]
    counted = start(*asked, "method.shards=4")
    assert counted.finish() == 0
    killed = start(*asked)
    killed.until(Step, step=6)
    os.kill(killed.process.pid, signal.SIGKILL)
    killed.finish()
    assert Engine(killed.run, resume=True).finish() == 0
    assert trajectory(killed.run) == trajectory(counted.run)
    forked = fork(killed.run, 7, ("run.batch_size=6", "run.steps=10"), tmp_path / "forked")
    assert Engine(forked, resume=True).finish() == 0
    assert [len(step.losses_plus) for step in forked.journal()] == [4] * 7 + [6] * 3
    export_merged(forked, tmp_path / "merged", "float32")
    merged = load_file(tmp_path / "merged" / "model.safetensors")
    again = Engine(fork(forked, 10, ("run.steps=11", "method.lr=1e-30"), tmp_path / "again"), resume=True)
    assert again.finish() == 0
    export_merged(again.run, tmp_path / "same", "float32")
    same = load_file(tmp_path / "same" / "model.safetensors")
    assert all(torch.allclose(merged[name], same[name], atol=1e-7) for name in merged)


def _last(run: RunDir) -> Path:
    return saved(run.path, STEPS)
