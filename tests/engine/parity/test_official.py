"""Recorded trajectories of the official trainers, and others like them, replayed on both runtimes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.directions.official import PROBED, OfficialDraws
from engine.environment import prepare_device
from engine.parity.__main__ import recorded_step
from engine.parity.compare import Pair, StepTaken, summarise
from engine.parity.recording import read_trajectory
from engine.parity.replay import Replay, open_training_loop
from engine.protocol.figures import ParitySummary
from tests import starting
from tests.engine.conftest import needs_vllm
from tests.engine.recorder import record

RUNTIMES = [pytest.param("training-loop"), pytest.param("vllm", marks=needs_vllm)]
COMBINATIONS = [
    (family, scope, objective)
    for family in ("lozo", "mezo")
    for scope in ("linear", "all")
    for objective in ("classification", "lm")
]


def parity(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, JSON lines and stderr of `zotui parity --json`."""
    done = starting.run(["-m", "zotui", "parity", *arguments, "--json"])
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("recording", ["lozo-linear", "mezo-all"])
def test_the_official_trajectories_are_followed_to_the_end(shared: Path, recording: str, runtime: str) -> None:
    code, lines, stderr = parity(str(shared / f"reference/{recording}.json"), "--runtime", runtime)
    assert code == 0, stderr
    *rows, summary = lines
    assert (summary["steps"], summary["runtime"], summary["ok"]) == (120, runtime, True)
    assert summary["max_loss_diff"] <= 5e-5
    assert summary["sign_agreement"] == 1.0
    assert summary["first_difference"] is None
    assert [row["step"] for row in rows] == list(range(120))
    assert summary["max_loss_diff"] == max(row["loss_diff"] for row in rows)
    assert rows[7]["reference_loss_plus"] != rows[8]["reference_loss_plus"]


@pytest.fixture
def replay() -> Callable[[Path, str], ParitySummary]:
    def replay(path: Path, runtime: str) -> ParitySummary:
        trajectory = read_trajectory(path)
        if runtime == "vllm":
            prepare_device("cpu")
            from engine.parity.vllm import open_vllm as opening
        else:
            opening = open_training_loop
        mover = opening(path, trajectory, "cpu")
        taken = Replay(trajectory, mover)
        pairs = [Pair(s.step, taken.take(s.step), recorded_step(s)) for s in trajectory.steps]
        return summarise(pairs, 1e-4, runtime=runtime, reference="a recording")

    return replay


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("family", "scope", "objective"), COMBINATIONS)
def test_every_family_scope_and_objective(
    replay: Any, tiny_models: dict[str, Path], tmp_path: Path, family: str, scope: str, objective: str, runtime: str
) -> None:
    layout = {"linear": "llama", "all": "qwen3"}[scope]  # qwen3 ties its embeddings
    path = record(
        tiny_models[layout], tmp_path / "t.json", family=family, scope=scope, objective=objective,
        weight_decay=0.1 if objective == "lm" else 0.0,
    )  # fmt: skip
    summary = replay(path, runtime)
    assert summary.max_loss_diff < 2e-5
    assert summary.sign_agreement == 1.0


def test_without_the_official_flaw_the_trajectory_is_another(
    shared: Path, replay: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = OfficialDraws.draw
    monkeypatch.setattr(OfficialDraws, "draw", lambda self, step, query: draw(self, step, PROBED))
    summary = replay(shared / "reference/lozo-linear.json", "training-loop")
    assert not summary.ok
    assert summary.first_difference == 1


def test_a_recording_that_differs_is_told_apart(shared: Path, tmp_path: Path) -> None:
    found = json.loads((shared / "reference/lozo-linear.json").read_text())
    found["model"] = str(shared / "models/tiny-opt")
    found["steps"] = found["steps"][:6]
    found["steps"][3]["loss_minus"] += 2e-3
    found["steps"][5]["projected_grad"] *= -1
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(found))
    code, lines, _ = parity(str(path), "--runtime", "training-loop")
    assert code == 1
    assert (lines[-1]["first_difference"], lines[-1]["ok"], lines[-1]["sign_agreement"]) == (3, False, 5 / 6)
    assert parity(str(path), "--runtime", "training-loop", "--tolerance", "0.01")[0] == 0
    assert parity(str(path), "--runtime", "training-loop", "--steps", "3")[0] == 0
    done = starting.run(["-m", "zotui", "parity", str(path), "--runtime", "training-loop"])
    assert done.returncode == 1
    assert "first step beyond the tolerance: 3" in done.stdout
    assert len([line for line in done.stdout.splitlines() if line.strip()[:1].isdigit()]) == 6


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "zo-trajectory/2"}, "'zo-trajectory/2' is not known"),
        ({"method": {"family": "adam"}}, "$.method"),
        ({"steps": []}, "needs steps"),
        ({"model": "../models/none"}, "../models/none"),
        ({"parameters": [["model.nowhere.weight", [2, 2]]]}, "model.nowhere.weight"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_in_one_line(
    shared: Path, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    found = json.loads((shared / "reference/lozo-linear.json").read_text())
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(found | {"model": str(shared / "models/tiny-opt")} | change))
    code, lines, stderr = parity(str(path), "--runtime", "training-loop")
    assert (code, lines) == (2, [])
    assert reason in stderr
    assert "Traceback" not in stderr and len(stderr.splitlines()) <= 8


def test_the_summary_of_losses_that_are_not_finite() -> None:
    same, lost = StepTaken(1.0, 1.0, 0.0), StepTaken(float("nan"), 1.0, 2.0)
    pairs = [Pair(0, same, same), Pair(1, lost, StepTaken(1.0, 1.0, 2.0))]
    summary = summarise(pairs, 1e-4, runtime="vllm", reference="training-loop")
    assert (summary.ok, summary.first_difference, summary.max_loss_diff) == (False, 1, float("inf"))
    line = json.loads(msgspec.json.encode(pairs[1].row(2)))
    assert (line["type"], line["loss_plus"], line["loss_diff"], line["seconds"]) == ("row", None, None, None)
    line = json.loads(msgspec.json.encode(summary))
    assert line["max_loss_diff"] is None and line["first_difference"] == 1 and "family" not in line


@needs_vllm
def test_two_runtimes_take_the_same_steps_of_a_preset(tiny_run: Any, tiny_models: dict[str, Path]) -> None:
    settings = (f"model.path={tiny_models['opt']}", "method.queries=2", "run.steps=30")
    given = [argument for setting in settings for argument in ("--set", setting)]
    code, lines, stderr = parity(str(tiny_run.preset), "--steps", "15", *given)
    assert code == 0, stderr
    assert lines[-1]["steps"] == 15 and lines[-1]["max_loss_diff"] < 1e-5
    assert (lines[-1]["runtime"], lines[-1]["reference"]) == ("vllm", "training-loop")
    assert all(row["seconds"] > 0 and row["reference_seconds"] > 0 for row in lines[:-1])
