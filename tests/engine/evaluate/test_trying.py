"""`zotui try` answers by the weights of a run that is over, at any of its steps, and by the base model beside them."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine.runs.directory import RunDir
from tests import starting
from tests.engine.conftest import Runner, needs_vllm
from tests.engine.evaluate.test_evaluate import LIVELY, records


def tried(runner: Runner, run: Path, *options: str, given: str = "") -> subprocess.CompletedProcess[str]:
    places = {**os.environ, "ZOTUI_HOME": str(runner.home)}
    return starting.run(["-m", "zotui", "try", str(run), *options], env=places, given=given)


def answers(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("runtime", ["training-loop", pytest.param("vllm", marks=needs_vllm)])
def test_a_state_answers_as_it_is_measured(tiny_run: Runner, runtime: str) -> None:
    run = tiny_run(*LIVELY, f"model.runtime={runtime}")
    assert run.code == 0, run.stderr
    before = records(run)
    every = [f"--example={number}" for number in range(48)]
    *split, likely = answers(
        tried(
            tiny_run, run.folder, "--step", "7", *every, "--prompt", "so bad . It was", "--json", "--options",
            "terrible|great",
        )
    )  # fmt: skip
    (text,) = answers(tried(tiny_run, run.folder, "--json", "--tokens", "4", given="\nIt was\n"))
    measured = {one.step: one.metrics["loss"] for one in RunDir(run.folder).evaluations()}
    for step, state in ((0, "base"), (7, "now")):
        loss = -sum(math.log(one[state]["probabilities"][one["label"]]) for one in split) / len(split)
        assert loss == pytest.approx(measured[step], abs=1e-5)
    one = split[0]
    assert one["now"] != one["base"] and one["options"] == ["terrible", "great"] and one["step"] == 7
    assert likely["prompt"] == "so bad . It was" and sum(likely["base"]["probabilities"]) == pytest.approx(1)
    assert likely["now"] != likely["base"]
    assert text["step"] == 14 and text["now"]["text"] and text["options"] == []
    (untouched,) = answers(tried(tiny_run, run.folder, "--step", "base", "--example", "0", "--json"))
    assert untouched["now"] == untouched["base"] == one["base"]
    assert records(run) == before


def test_answers_are_told_in_words(tiny_run: Runner) -> None:
    run = tiny_run("run.steps=2")
    done = tried(tiny_run, run.folder, "--options", "bad|very  good", "--prompt", "a film", "--example", "1")
    assert (done.returncode, done.stderr) == (0, "")
    example, _, prompt = done.stdout.partition("\n\n")
    assert example.startswith("after 2 steps: ") and "%  right" in example and "  terrible" in example
    said = prompt.splitlines()
    assert said[0] == "after 2 steps: a film"
    assert [line.split("  ")[1].strip() for line in said[2:4]] == ["bad", "very good"]


def test_what_cannot_be_tried_is_refused_in_a_line(tiny_run: Runner) -> None:
    run = tiny_run("run.steps=1")
    for options, code, said in (
        (("--step", "2"), 2, f"--step 2: {run.folder.name} has taken 1 steps; use 0 to 1, base, best or last"),
        (("--options", "good"), 2, "--options 'good': one option has nothing to be compared with; put | between two"),
        (("--example", "99"), 1, "example 99: the validation split ends with 47"),
        (("--prompt", "word " * 400), 1, "tokens are too many: the model has room for"),
    ):
        done = tried(tiny_run, run.folder, *options)
        assert (done.returncode, done.stdout) == (code, "")
        assert said in done.stderr and len(done.stderr.splitlines()) == 1
    live = RunDir(run.folder)
    live.acquire()
    done = tried(tiny_run, run.folder)
    assert done.returncode == 2 and "is live; `zotui attach` and `p` try prompts on it as it is" in done.stderr


def test_what_an_engine_would_not_answer_is_said_and_the_rest_is_asked(tiny_run: Runner) -> None:
    run = tiny_run("run.steps=1")
    done = tried(tiny_run, run.folder, "--prompt", "word " * 20, "--tokens", "2", given="")
    assert done.returncode == 0, done.stderr
    done = tried(tiny_run, run.folder, "--tokens", "2", given=f"{'x' * (1 << 20)}\nIt was\n")
    assert done.returncode == 1
    assert "zotui: the prompt is too long: 1,048,576 characters" in done.stderr
    assert done.stdout.startswith("after 1 steps: It was")
