"""The same preset gives the same run, bit for bit in float32 on a CPU, whatever happens in between."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.machine import differences
from engine.protocol.commands import Evaluate, Resume, Save, Stop, Try
from engine.protocol.events import Done, Log, State, Step, Tried
from engine.runs.directory import RunDir
from engine.runs.journal import fields_of
from tests.engine.conftest import Runner, needs_vllm
from tests.engine.states import saved
from tests.live_engine import Engine

STEPS = 40
TIMED = ("seconds", "update_kept", "update_cosine")  # a resumed run counts what was kept from its checkpoint


def trajectory(run: RunDir) -> list[dict[str, Any]]:
    """Every line of the journal, without what is no result of a step."""
    return [{key: value for key, value in fields_of(step).items() if key not in TIMED} for step in run.journal()]


def disturb(engine: Engine, chance: random.Random, times: int) -> int:
    """A paused run goes on for a few steps so many times; in pauses or steps it evaluates, saves and tries prompts."""
    for _ in range(times):
        text, choice = Try(id=1, prompt="It was", max_tokens=4), Try(id=2, example=chance.randrange(16))
        wanted = [message for message in (Evaluate(), Save(), text, choice) if chance.random() < 0.6]
        in_pause = chance.random() < 0.5
        if in_pause:
            for message in wanted:
                engine.send(message)
        done = engine.advance(chance.randint(1, 3) + 0.5, *([] if in_pause else wanted))
    return done


@pytest.mark.parametrize(
    ("runtime", "layout", "method"),
    [
        ("training-loop", "opt", "lozo"),
        pytest.param("vllm", "opt", "lozo", marks=needs_vllm),
        pytest.param("vllm", "qwen3-moe", "lozo", marks=needs_vllm),
        ("training-loop", "one-layer", "mezo-lora"),
        ("training-loop", "one-layer", "mezo"),
        pytest.param("vllm", "one-layer", "mobizo", marks=needs_vllm),
        pytest.param("vllm", "one-layer", "mezo-lora", marks=needs_vllm),
        pytest.param("vllm", "one-layer", "mezo", marks=needs_vllm),
    ],
)
def test_pauses_evaluations_checkpoints_tries_a_resume_and_a_reader_that_leaves_change_no_bit(
    start: Any, tiny_models: dict[str, Path], runtime: str, layout: str, method: str
) -> None:
    model = tiny_models[layout]
    settings = (
        f"model.path={model}",
        f"model.runtime={runtime}",
        f"run.steps={STEPS}",
        "run.batch_size=4",
        "method.queries=2",
        f"method.name={method}",
        "task.validation_examples=16",
    )
    undisturbed = start(*settings)
    assert undisturbed.finish() == 0
    chance = random.Random(runtime)
    first = start(*settings, "run.eval_every=7", "run.checkpoint_every=9")
    first.hold()
    stopped_at = disturb(first, chance, 4)
    while not stopped_at % 10:  # within an interval, where what was learned is not folded
        stopped_at = first.advance(0.5)
    first.send(Stop())
    assert first.until(Done).steps == stopped_at
    assert first.finish() == 130
    second = Engine(first.run, resume=True)
    second.hold()
    assert stopped_at < disturb(second, chance, 3) < STEPS - 5
    second.send(Resume())
    second.process.stdin.close()
    second.process.stdout.close()
    assert second.process.wait(240) == 0

    seen = [*first.seen, *second.seen]
    assert sum(isinstance(event, State) and event.state == "paused" for event in seen) >= 3
    tried = [event for event in seen if isinstance(event, Tried)]
    assert len(tried) > 3 and all(event.now and event.base for event in tried)
    assert len(first.run.evaluations()) > len(undisturbed.run.evaluations()) == 2
    assert len(list(first.run.checkpoints.iterdir())) > len(list(undisturbed.run.checkpoints.iterdir())) == 1
    assert trajectory(first.run) == trajectory(undisturbed.run)
    assert len(trajectory(first.run)) == STEPS
    assert first.run.evaluations()[-1].metrics == undisturbed.run.evaluations()[-1].metrics
    ours, theirs = (load_file(last_weights(run)) for run in (first.run, undisturbed.run))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def last_weights(run: RunDir) -> Path:
    return saved(run.path, STEPS)


def test_seeds_are_the_runs_that_their_presets_describe_and_are_summed_up(tiny_run: Runner, tmp_path: Path) -> None:
    together = tiny_run(folder=tmp_path / "together", options=["--seeds", "3,1"])
    assert together.code == 0
    alone = tiny_run("run.seed=1", folder=tmp_path / "alone")
    runs = [RunDir(tmp_path / "together" / f"seed-{seed}") for seed in (3, 1)]
    assert trajectory(runs[1]) == trajectory(RunDir(alone.folder)) != trajectory(runs[0])
    *events, summary = together.events
    assert [event["run"] for event in events if event["type"] == "done"] == summary["runs"]
    assert summary["type"] == "summary" and summary["seeds"] == [3, 1]
    for when, index in (("before", 0), ("metrics", -1)):
        for name in ("accuracy", "loss"):
            assert summary[when][name]["values"] == [run.evaluations()[index].metrics[name] for run in runs]
    losses = summary["metrics"]["loss"]
    assert losses["mean"] == pytest.approx(sum(losses["values"]) / 2)
    assert losses["ci95"][0] < losses["mean"] < losses["ci95"][1]
    again = tiny_run(folder=tmp_path / "together", options=["--seeds", "1,2"])
    assert (again.code, again.events) == (2, [])
    assert "already holds seed-1 (finished); --seeds 2 runs those that are left" in again.stderr


def test_a_resume_with_other_threads_says_so_and_keeps_both_on_record(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    engine = start()
    warnings = []
    for threads in ("1", "2"):
        engine.until(Step)
        engine.send(Stop())
        stopped_at = engine.until(Done).steps
        assert engine.finish() == 130
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        engine = Engine(engine.run, resume=True)
        engine.until(Step)
        warnings.append([e.text for e in engine.seen if isinstance(e, Log) and e.level == "warning"])
    engine.process.kill()
    engine.process.wait()
    assert warnings == [[], ["was run with 1 thread, now 2: the last bits may differ"]]
    info = engine.run.info.read()
    (former,) = info.formerly
    assert (former.until_step, former.hardware["threads"], info.hardware["threads"]) == (stopped_at, 1, 2)


def test_what_decides_the_last_bits_is_compared_and_nothing_else() -> None:
    hardware = {"processor": "A", "instructions": "AVX2", "threads": 1, "gpu": "", "memory": 1, "cpus": 2}
    versions = {"torch": "2.13.0", "vllm": "0.32.0"}
    assert differences(versions, versions, hardware, {**hardware, "memory": 2, "cpus": 4}) == []
    assert differences({}, versions, {}, hardware) == []
    now = {"processor": "A", "instructions": "AVX512", "threads": 4, "gpu": "H200"}
    assert differences(versions, {"torch": "2.14.0"}, hardware, now) == [
        *("instructions AVX2, now AVX512", "1 thread, now 4", "gpu none, now H200"),
        *("torch 2.13.0, now 2.14.0", "vllm 0.32.0, now none"),
    ]
