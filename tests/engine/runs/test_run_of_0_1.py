"""Runs that zotui 0.1 recorded are read, listed, shown, compared, exported and resumed by this one.

`run_of_0_1/` holds what it left: a run on the training loop that finished, with two queries a step; and one on vLLM
that was changed and paused at work, and stopped. `stopped-then-resumed.jsonl` is the journal of the latter after
0.1 itself had resumed it. The checkpoints are without their weights, so the journal alone rebuilds them.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from engine.errors import RunFailed
from engine.export.merged import export_merged
from engine.optimizer import Optimizer
from engine.preset.method import Method
from engine.protocol.events import Changed, Log, Step
from engine.runs.changes import Changes
from engine.runs.directory import RunDir, all_runs
from engine.runs.fork import fork
from engine.runs.journal import encode_line
from tests.engine.conftest import needs_vllm
from tests.live_engine import Engine
from zotui.runs import export_files
from zotui.runs.curves import Columns
from zotui.runs.record import as_object, record_of
from zotui.runs.side_by_side import compare

RECORDED = Path(__file__).parent / "run_of_0_1"
CLOSE = 1e-5
"""Nats. On the machine that recorded them the losses are the same bit for bit; another processor sums otherwise."""


@pytest.fixture
def runs(home: Path, tmp_path: Path) -> dict[str, RunDir]:
    """Copies of both, their data beside them, and the model's path as `runs` is told to find it."""
    found = {}
    for name in ("finished", "stopped"):
        folder = home / "runs" / name
        shutil.copytree(RECORDED / name, folder)
        move(folder, "/recorded/reviews.jsonl", str(shutil.copy(RECORDED / "reviews.jsonl", tmp_path)))
        found[name] = RunDir(folder)
    return found


@pytest.fixture
def with_model(runs: dict[str, RunDir], shared: Path) -> dict[str, RunDir]:
    """The same, and their model at hand."""
    for run in runs.values():
        move(run.path, "/recorded/tiny-opt", str(shared / "models/tiny-opt"))
    return runs


def move(folder: Path, before: str, after: str) -> None:
    preset = folder / "preset.toml"
    preset.write_text(preset.read_text().replace(before, after))


def recorded(file: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in (RECORDED / file).read_text().splitlines()]


def test_it_is_listed(runs: dict[str, RunDir]) -> None:
    listed = {run.name: run.summary() for run in all_runs()}
    finished, stopped = listed["finished"], listed["stopped"]
    assert (finished.standing, finished.steps_done, finished.steps) == ("finished", 30, 30)
    assert (stopped.standing, stopped.steps_done, stopped.steps) == ("stopped", 25, 40)
    assert stopped.metrics == recorded("stopped/evaluations.jsonl")[-1]["metrics"]
    assert stopped.preset == "tiny-opt-reviews" and not stopped.paused and not stopped.error


def test_all_of_a_step_is_read_and_would_be_written_byte_for_byte_as_it_was(runs: dict[str, RunDir]) -> None:
    for run in runs.values():
        assert b"".join(map(encode_line, run.journal())) == run.journal_file.read_bytes()
        assert b"".join(map(encode_line, run.changes())) == run.changes_file.read_bytes()


def test_it_is_shown(runs: dict[str, RunDir]) -> None:
    shown = msgspec.to_builtins(as_object(record_of(runs["stopped"])))
    info = json.loads((RECORDED / "stopped/run.json").read_text())
    assert {key: shown["info"][key] for key in info} == info
    happened = {(entry["kind"], entry["step"]) for entry in shown["timeline"]}
    assert {("change", 10), ("pause", 11), ("checkpoint", 25), ("evaluation", 14), ("fold", 5)} <= happened
    assert shown["best"]["step"] == 0  # its accuracy fell
    assert shown["usage"]["whole_run"]["rss_peak"] == recorded("stopped/usage.jsonl")[-1]["rss_peak"]
    assert shown["time"]["steps"] == pytest.approx(sum(line["seconds"] for line in recorded("stopped/journal.jsonl")))
    assert shown["time"]["paused"] == info["time"]["paused"]
    assert shown["update_kept"]["step"] == 20
    assert shown["signal"]["noise"] == info["noise"]["nats"]


def test_they_are_compared(runs: dict[str, RunDir]) -> None:
    columns = [Columns(run) for run in runs.values()]
    for one in columns:
        one.refresh()
    compared = compare(columns)
    assert compared.differing["model.runtime"] == ["training-loop", "vllm"]
    assert compared.differing["changes"] == [None, "lr 0.004 from 10, eval_every 7 from 10"]
    assert [one.fault for one in compared.results] == ["", ""]
    assert compared.results[1].best is not None and compared.results[1].last["loss"] == pytest.approx(0.68768, abs=1e-5)


def test_its_steps_are_exported(runs: dict[str, RunDir], tmp_path: Path) -> None:
    columns = Columns(runs["finished"])
    columns.refresh()
    export_files.export([columns], tmp_path / "steps.csv", "csv")
    with (tmp_path / "steps.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row, line in zip(rows, recorded("finished/journal.jsonl"), strict=True):
        for name in ("step", "loss", "loss_plus", "projected_grad", "lr", "eps", "tokens", "seconds"):
            assert float(row[name]) == line[name]


def test_its_model_is_exported(with_model: dict[str, RunDir], tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    for run in with_model.values():
        assert export_merged(run, tmp_path / run.name) == run.steps_done()
    tuned = [load_file(tmp_path / name / "model.safetensors") for name in with_model]
    moved = [name for name, weights in tuned[0].items() if (weights != tuned[1][name]).any()]
    assert len(moved) > 10


@needs_vllm
def test_it_is_resumed_and_goes_on_as_it_did_then(with_model: dict[str, RunDir]) -> None:
    run = with_model["stopped"]
    before = run.journal_file.read_bytes()
    assert Changes(run, run.preset()).at(25).lr == 4e-3
    engine = Engine(run, resume=True, most_seconds=120)
    assert engine.finish() == 0
    assert run.journal_file.read_bytes().startswith(before)
    assert not [event for event in engine.of(Changed) if event.step < 25]
    damaged = [event.text for event in engine.of(Log) if "damaged" in event.text]
    assert len(damaged) == 3  # checkpoints, of which the test has no weights
    follow_on(engine.of(Step), "stopped-then-resumed.jsonl", range(25, 40))


def test_it_is_forked_and_goes_on_as_it_did_then(with_model: dict[str, RunDir]) -> None:
    forked = fork(with_model["finished"], 13)
    engine = Engine(forked, resume=True, most_seconds=120)
    assert engine.finish() == 0
    assert engine.of(Step)[-1].step == 29
    # At this rate the last bits of another processor grow tenfold with every step; other directions differ at once.
    follow_on(engine.of(Step)[:3], "finished/journal.jsonl", range(13, 16), close=1e-4)


def follow_on(taken: list[Step], file: str, steps: range, close: float = CLOSE) -> None:
    assert [one.step for one in taken] == list(steps)
    for one, line in zip(taken, recorded(file)[steps.start : steps.stop], strict=True):
        assert one.loss_plus == pytest.approx(line["loss_plus"], abs=close)
        assert one.loss_minus == pytest.approx(line["loss_minus"], abs=close)
        assert one.lr == line["lr"] and one.tokens == line["tokens"]


def test_a_step_that_cannot_be_done_again_is_no_step_to_go_on_from() -> None:
    class Untouched:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"{name} was asked for")

    method = Optimizer(Method(), 10, "classification")  # type: ignore[call-arg]
    for lacking in ("lr", "eps", "projected_grad"):
        step = structs.replace(Step(step=3, lr=1e-6, eps=1e-3, projected_grad=1.0), **{lacking: math.nan})
        with pytest.raises(RunFailed, match="step 3 of the journal does not tell"):
            method.replay(Untouched(), step)  # type: ignore[arg-type]
