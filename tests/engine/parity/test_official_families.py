"""Recordings of the official trainers of a whole family of methods (`zo-trajectory/2`), replayed on both runtimes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from msgspec.structs import replace

from engine.directions.official import PROBED, OfficialDraws
from engine.parity.official import fzoo
from engine.parity.official.conmezo import Conmezo
from engine.parity.official.hizoo import Hizoo
from engine.parity.official.lozo_m import LozoM
from engine.parity.official.zo_muon import ZoMuon
from engine.parity.recording import Trajectory
from engine.protocol.figures import ParityRow
from tests import starting
from tests.engine.parity.places import RUNTIMES, Places
from zotui.commands.parity_table import header, lines

# Steps of each, past an interval where there is one: `zotui parity` takes them all.
RECORDINGS = {
    "mezo-lora": 15, "lozo-m-linear": 23, "fzoo-all": 6, "zo-muon-all": 22, "zo-muon-two-sided-linear": 27,
    "hizoo-all": 10, "p-rge-dual": 8, "p-rge-shards": 8, "conmezo-all": 15,
}  # fmt: skip


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("recording", RECORDINGS)
def test_an_official_trainer_is_followed(places: Places, shared: Path, recording: str, runtime: str) -> None:
    path, model = shared / f"reference/{recording}.json", shared / "models/tiny-opt"
    summary = places.replay(path, model, runtime, RECORDINGS[recording])
    assert summary.max_loss_diff < 6e-6
    assert summary.sign_agreement == 1.0


def _of_steps(**change: Any) -> Callable[[Trajectory], Trajectory]:
    return lambda found: replace(found, steps=[replace(step, **change) for step in found.steps])


def _of_method(**change: Any) -> Callable[[Trajectory], Trajectory]:
    return lambda found: replace(found, method=replace(found.method, **change))


def _summed(trajectory: Trajectory) -> Trajectory:
    steps = [replace(step, lr=step.lr * 4) for step in trajectory.steps]  # of four queries
    return replace(trajectory, steps=steps)


def _beta_at_once(trajectory: Trajectory) -> Trajectory:
    steps = [replace(step, beta=trajectory.method.beta if step.step else None) for step in trajectory.steps]
    return replace(trajectory, steps=steps)


@pytest.mark.parametrize(
    ("recording", "steps", "mistake", "least"),
    [
        ("mezo-lora", 15, _of_steps(lr=0.0), 1e-4),
        ("hizoo-all", 5, _of_steps(smooth=0.0), 1e-4),
        ("p-rge-shards", 3, _of_method(shards=False), 1e-2),
        ("p-rge-dual", 5, _summed, 1e-3),
        ("conmezo-all", 4, _beta_at_once, 1e-4),
    ],
)
def test_what_is_recorded_matters(
    places: Places, shared: Path, recording: str, steps: int, mistake: Any, least: float
) -> None:
    path, model = shared / f"reference/{recording}.json", shared / "models/tiny-opt"
    assert places.replay(path, model, "training-loop", steps, mistake).max_loss_diff > least


def _probed_is_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = OfficialDraws.draw
    monkeypatch.setattr(OfficialDraws, "draw", lambda self, step, query: draw(self, step, PROBED))


def _momentum_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = LozoM._of_matrix

    def begin(self: Any, step: int, *args: Any) -> torch.Tensor:
        self._v_old.clear()
        return go_on(self, step, *args)

    monkeypatch.setattr(LozoM, "_of_matrix", begin)


def _spread_over_one_less(monkeypatch: pytest.MonkeyPatch) -> None:
    weighted = fzoo.weighted
    less = lambda losses, base: [c * (1 - 1 / len(losses)) ** 0.5 for c in weighted(losses, base)]  # noqa: E731
    monkeypatch.setattr(fzoo, "weighted", less)


def _lifted_by_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    probed, update = ZoMuon._probed, ZoMuon._update
    first: dict[tuple[int, str], torch.Tensor] = {}

    def noted(self: Any, step: int, seed: int) -> Iterator[tuple[str, torch.Tensor]]:
        for name, direction in probed(self, step, seed):
            first.setdefault((step // 20, name), self._bases.get(name))
            yield name, direction

    def lifted(self: Any, step: Any, *args: Any) -> None:
        self._bases = {name: first[step.step // 20, name] for name in self._bases}
        update(self, step, *args)

    monkeypatch.setattr(ZoMuon, "_probed", noted)
    monkeypatch.setattr(ZoMuon, "_update", lifted)


def _applied_as_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Hizoo.take

    def with_old(self: Any, step: Any) -> Any:
        found = take(self, replace(step, smooth=0.0))  # moves along the H that was probed
        losses = found.losses
        bend = abs(losses["loss_plus"] + losses["loss_minus"] - 2 * losses["loss_base"]) / (2 * 1e-3**2)
        torch.manual_seed(step.seed)
        for name, curvature in self._curvature.items():
            z = torch.randn(curvature.shape)
            self._curvature[name] = (1 - step.smooth) * curvature + step.smooth * bend * curvature * z * z
        return found

    monkeypatch.setattr(Hizoo, "take", with_old)


def _norm_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    remember = Conmezo._remember

    def measured(self: Any, beta: float) -> None:
        remember(self, beta)
        self._norm = torch.cat([m.flatten() for m in self._momentum.values()]).norm().item()

    monkeypatch.setattr(Conmezo, "_remember", measured)


@pytest.mark.parametrize(
    ("recording", "steps", "mistake", "least"),
    [
        ("lozo-m-linear", 2, _probed_is_applied, 1e-4),
        ("lozo-m-linear", 23, _momentum_is_dropped, 1e-3),
        ("fzoo-all", 3, _spread_over_one_less, 1e-4),
        ("zo-muon-all", 3, _lifted_by_the_first, 1e-3),
        ("hizoo-all", 6, _applied_as_probed, 1e-5),
        ("conmezo-all", 20, _norm_is_measured, 6e-6),
    ],
)
def test_without_an_official_flaw_the_trajectory_is_another(
    places: Places,
    shared: Path,
    monkeypatch: pytest.MonkeyPatch,
    recording: str,
    steps: int,
    mistake: Any,
    least: float,
) -> None:
    mistake(monkeypatch)
    path, model = shared / f"reference/{recording}.json", shared / "models/tiny-opt"
    assert places.replay(path, model, "training-loop", steps).max_loss_diff > least


@pytest.mark.parametrize(
    ("recording", "losses", "estimate"),
    [
        ("zo-muon-all", {"loss_base": 1, "losses": 4}, {"coefficients": 4}),
        ("p-rge-shards", {"losses_plus": 4, "losses_minus": 4}, {"projected_grads": 4}),
        ("hizoo-all", {"loss_base": 1, "loss_plus": 1, "loss_minus": 1, "loss_after": 1}, {"projected_grad": 1}),
    ],
)
def test_every_figure_of_a_step_is_compared_and_shown(
    places: Places, shared: Path, recording: str, losses: dict[str, int], estimate: dict[str, int]
) -> None:
    path = shared / f"reference/{recording}.json"
    recorded = json.loads(path.read_text())["steps"][1]
    _, pair = places.pairs(path, shared / "models/tiny-opt", "training-loop", 2)
    line = msgspec.json.encode(pair.row(2))
    row = json.loads(line)
    figures = {**losses, **estimate}
    other = {"type", "step", "steps", "seconds", "reference_seconds", "loss_diff", "grad_diff", "same_sign"}
    assert {name.removeprefix("reference_") for name in row.keys() - other} == set(figures)
    differ = []
    for name, count in figures.items():
        assert row[f"reference_{name}"] == recorded[name]
        sides = (row[name], row[f"reference_{name}"])
        ours, theirs = (side if isinstance(side, list) else [side] for side in sides)
        assert len(ours) == len(theirs) == count
        differ += [abs(a - b) for a, b in zip(ours, theirs, strict=True) if name in losses]
    assert 0 < row["loss_diff"] == max(differ) < 6e-6
    decoded = msgspec.json.decode(line, type=ParityRow)
    shown = lines(decoded).splitlines()
    assert [line.split()[:1] == ["1"] for line in shown] == [True] + [False] * (len(differ) - 1)
    for line, *numbers in zip(shown, *(_in_lines(row, side) for side in ("", "reference_")), strict=True):
        assert all(f"{number:.7f}" in line for number in numbers)
    assert {len(line) for line in [header(decoded), *shown]} == {len(shown[0])}


def _in_lines(row: dict[str, Any], side: str) -> list[float]:
    """The losses of a row in the order of its lines."""
    if "losses" in row:
        return [row[f"{side}loss_base"], *row[f"{side}losses"]]
    if "losses_plus" in row:
        both = zip(row[f"{side}losses_plus"], row[f"{side}losses_minus"], strict=True)
        return [loss for signs in both for loss in signs]
    return [row[f"{side}loss_{name}"] for name in ("base", "plus", "minus", "after")]


def test_what_differs_in_one_query_alone_is_seen(shared: Path, tmp_path: Path) -> None:
    found = json.loads((shared / "reference/zo-muon-all.json").read_text())
    found |= {"model": str(shared / "models/tiny-opt"), "steps": found["steps"][:3]}
    found["steps"][1]["losses"][2] += 1e-3
    found["steps"][2]["coefficients"][3] *= -1
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(found))
    done = starting.run(["-m", "zotui", "parity", str(path), "--runtime", "training-loop"])
    assert done.returncode == 1, done.stderr
    table = done.stdout.splitlines()
    assert len(table[1 : table.index("")]) == 3 * 5
    assert [at for at, line in enumerate(table[1:16]) if line.endswith("e-03")] == [8]
    assert [at for at, line in enumerate(table[1:16]) if line.endswith("other sign")] == [14]
    assert "first step beyond the tolerance: 1" in done.stdout
    assert re.search(r"(?m)^same sign of a coefficient +66\.7% of the steps$", done.stdout)
