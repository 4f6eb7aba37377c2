"""Recorded trajectories of the official trainers, and others like them, replayed on both runtimes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.directions.official import PROBED, OfficialDraws
from engine.errors import UserError
from engine.models.facts import read_model
from engine.parity.compare import Pair, summarise, two_sided
from engine.parity.recording import read_trajectory
from engine.parity.training_loop import open_training_loop
from engine.protocol.figures import ParitySummary
from tests import starting
from tests.engine.conftest import needs_vllm
from tests.engine.parity.places import RUNTIMES, Places
from tests.engine.recorder import record

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


def in_slots(path: Path, model: Path) -> ParitySummary:
    """A recording taken on vLLM in slots, in a process of its own: a vLLM that ends takes groups of others along."""
    from engine.parity.vllm import fits_slots

    assert fits_slots(read_trajectory(path), read_model(str(model), trust_remote_code=False))
    code, lines, stderr = parity(str(path), "--runtime", "vllm")
    assert code == 0, stderr
    return msgspec.convert(lines[-1], ParitySummary)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("family", "scope", "objective"), COMBINATIONS)
def test_every_family_scope_and_objective(
    places: Places, tiny_models: dict[str, Path], tmp_path: Path, family: str, scope: str, objective: str, runtime: str
) -> None:
    layout = {"linear": "llama", "all": "qwen3"}[scope]  # qwen3 ties its embeddings
    path = record(
        tiny_models[layout], tmp_path / "t.json", family=family, scope=scope, objective=objective,
        weight_decay=0.1 if objective == "lm" else 0.0,
    )  # fmt: skip
    slots = (family, scope, objective, runtime) == ("lozo", "linear", "classification", "vllm")  # and no decay
    summary = in_slots(path, tiny_models[layout]) if slots else places.replay(path, tiny_models[layout], runtime)
    assert summary.max_loss_diff < 2e-5
    assert summary.sign_agreement == 1.0


def test_without_the_official_flaw_the_trajectory_is_another(
    shared: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = OfficialDraws.draw
    monkeypatch.setattr(OfficialDraws, "draw", lambda self, step, query: draw(self, step, PROBED))
    path, model = shared / "reference/lozo-linear.json", shared / "models/tiny-opt"
    summary = places.replay(path, model, "training-loop", 3)
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
        ({"format": "zo-trajectory/3"}, "'zo-trajectory/3' is not known"),
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


def _first(**change: Any) -> Any:
    """A change of the first step; None takes a field away."""

    def changed(found: dict[str, Any]) -> None:
        step = found["steps"][0] | change
        found["steps"][0] = {name: value for name, value in step.items() if value is not None}

    return changed


def _parameter(at: int, value: Any) -> Any:
    """A change of the first parameter's name (0) or shape (1)."""
    return lambda found: found["parameters"][0].__setitem__(at, value)


def _of(part: str, **change: Any) -> Any:
    return lambda found: found[part].update(change)


@pytest.mark.parametrize(
    ("recording", "change", "reason"),
    [
        ("mezo-lora", _of("method", family="adam"), "Invalid enum value 'adam' - at `$.method.family`"),
        ("mezo-lora", _of("adapter", file="none.safetensors"), "adapter.file: there is no none.safetensors beside it"),
        ("mezo-lora", lambda found: found.pop("adapter"), "adapter: there must be one"),
        ("mezo-lora", _of("adapter", rank=4), "self_attn.q_proj.lora_A has shape (8, 128)"),
        ("mezo-lora", lambda found: found["parameters"].pop(0), None),
        (
            "mezo-lora",
            lambda found: found["parameters"][0].__setitem__(1, [8, 64]),
            "parameters: model.decoder.layers.0",
        ),
        (
            "mezo-lora",
            lambda found: found["parameters"][0].__setitem__(0, "x.lora_A"),
            "x.lora_A is not in t.safetensors",
        ),
        ("mezo-lora", _first(seed=-1), "`$.steps[0].seed`"),
        ("fzoo-all", _first(seeds=[1, 2]), "steps[0].seeds: 2 of them for 8 queries"),
        ("fzoo-all", _first(losses=[1.0] * 7), "steps[0].losses: 7 of them for 8 queries"),
        ("fzoo-all", _first(coefficients=None), "steps[0].coefficients: missing"),
        ("fzoo-all", _of("method", weight_decay=0.1), "method.weight_decay"),
        ("zo-muon-all", _of("method", rank=300), "embed_positions.weight has 258 rows, fewer than method.rank 300"),
        ("zo-muon-all", _of("method", update="muon"), "`$.method.update`"),
        ("zo-muon-all", _of("method", sided=None), "method.sided: zo-muon needs one"),
        ("lozo-m-linear", _of("method", beta=None), "method.beta: lozo-m needs one"),
        ("lozo-m-linear", _of("method", interval=0), "`$.method.interval`"),
        ("lozo-m-linear", _parameter(1, [128, 64]), "is (128, 128) in"),
        ("hizoo-all", _first(smooth=None), "steps[0].smooth: missing"),
        ("conmezo-all", _of("method", first_seed=None), "method.first_seed: conmezo needs one"),
        ("p-rge-shards", _first(losses_plus=[1.0] * 3), "steps[0].losses_plus: 3 of them for 4 queries"),
        ("p-rge-shards", _first(examples=[]), "steps[0]: has no examples"),
        ("p-rge-shards", _of("method", scope="all"), "method.scope: p-rge moves an adapter"),
    ],
)
def test_a_recording_that_does_not_fit_itself_or_its_model_is_refused(
    shared: Path, tmp_path: Path, recording: str, change: Any, reason: str | None
) -> None:
    found = json.loads((shared / f"reference/{recording}.json").read_text())
    found["model"] = str(shared / "models/tiny-opt")
    if "adapter" in found:
        copied = tmp_path / "t.safetensors"
        copied.write_bytes((shared / "reference" / found["adapter"]["file"]).read_bytes())
        found["adapter"]["file"] = copied.name
    change(found)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(found))
    if reason is None:  # what is no mistake
        open_training_loop(path, read_trajectory(path), "cpu")
        return
    with pytest.raises(UserError) as refusal:
        open_training_loop(path, read_trajectory(path), "cpu")
    assert reason in str(refusal.value)


@pytest.mark.parametrize(("recording", "shape"), [("mezo-lora", [8, 64]), ("lozo-m-linear", [128, 64])])
def test_a_recording_of_another_model_is_refused_before_that_is_loaded(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recording: str, shape: list[int]
) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise AssertionError("the model is loaded")

    monkeypatch.setattr("engine.parity.training_loop.TrainingLoop", load)
    found = json.loads((shared / f"reference/{recording}.json").read_text())
    found["model"] = str(shared / "models/tiny-opt")
    if "adapter" in found:
        (tmp_path / "t.safetensors").write_bytes((shared / "reference" / found["adapter"]["file"]).read_bytes())
        found["adapter"]["file"] = "t.safetensors"
    found["parameters"][0][1] = shape
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(found))
    with pytest.raises(UserError, match=r"parameters: .* of shape "):
        open_training_loop(path, read_trajectory(path), "cpu")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b'{"format": 2}', b'{"format": "zo-trajectory/2"}'])
def test_what_is_no_recording_at_all_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a recorded trajectory"):
        read_trajectory(path)


def test_the_summary_of_losses_that_are_not_finite() -> None:
    same, lost = two_sided(1.0, 1.0, 0.0), two_sided(float("nan"), 1.0, 2.0)
    pairs = [Pair(0, same, same), Pair(1, lost, two_sided(1.0, 1.0, 2.0))]
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
