"""From a file to a preset that trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.preset.load import load
from engine.preset.method import Method
from engine.propose.rate import rate_for
from engine.propose.session import Session
from engine.protocol.findings import Draft
from engine.runs.directory import RunDir
from tests import forked
from tests.live_engine import Engine

FOLLOWING = (forked.stand_in(), "-P", "-m", "engine.propose")
ROWS = [{"text": f"film {i}", "label": ("bad", "good")[i % 2]} for i in range(40)]


def write(name: str, rows: list[dict[str, Any]]) -> str:
    Path(name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return name


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def propose(shared: Path) -> Callable[..., Draft]:
    return lambda data, *changes: Session(data, str(shared / "models/tiny-opt")).draft(changes, lambda detail: None)


def test_paths_are_absolute_and_other_splits_are_found(propose: Callable[..., Draft], tmp_path: Path) -> None:
    write("a-train.jsonl", ROWS)
    write("a-dev.jsonl", ROWS[:10])
    found = propose("a-train.jsonl")
    task = tomllib.loads(found.text)["task"]
    assert task["train"] == str(tmp_path / "a-train.jsonl") and task["validation"] == str(tmp_path / "a-dev.jsonl")
    assert (found.train, found.validation) == (40, 10)
    assert found.rows[1].prompt.endswith("film 1\nLabel:") and found.rows[1].options[found.rows[1].label] == " good"


def test_what_is_set_stands_in_the_preset_as_set(propose: Callable[..., Draft]) -> None:
    found = propose(write("d.jsonl", ROWS), "method.name=lozo", "task.verbalizer.bad=awful", "run.steps=7")
    preset = load("d", found.text)
    assert preset.method.name == "lozo" and preset.run.steps == 7
    assert preset.task.verbalizer == {"bad": "awful", "good": "good"}
    assert "# as you set it\nsteps = 7" in found.text


def test_rates_follow_the_size_where_the_method_does() -> None:
    lozo, adapter = Method(name="lozo"), Method(name="mezo-lora", lr=1e-4, direction="adapter")  # type: ignore[call-arg]
    assert [rate_for(lozo, size)[0] for size in (10**6, 10**8, 13 * 10**9, None)] == [1e-3, 1e-6, 1e-7, 1e-6]
    assert rate_for(adapter, 13 * 10**9)[0] == 1e-4
    fast = Method(name="fast")  # type: ignore[call-arg]
    assert [rate_for(fast, size)[0] for size in (10**6, 10**8, 13 * 10**9, None)] == [1e-2, 1e-4, 1e-6, 1e-5]


def test_what_is_not_said_is_the_method_that_learns_fastest(propose: Callable[..., Draft]) -> None:
    preset = load("d", propose(write("d.jsonl", ROWS)).text)
    assert (preset.method.name, preset.method.ratchet, preset.method.lr) == ("fast", True, 1e-2)  # the demo's
    assert preset.run.steps // preset.run.eval_every == 40


def test_lengths_are_those_of_the_longest_row(propose: Callable[..., Draft]) -> None:
    assert load("d", propose(write("d.jsonl", ROWS)).text).model.max_length == 32
    found = propose(write("e.jsonl", [*ROWS, {"text": "long " * 300, "label": "bad"}]))
    preset = load("e", found.text)
    assert preset.model.max_length is None and preset.task.too_long == "truncate"
    assert "longer than the model's context, and cut: 1 of 41 rows" in found.checks


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.jsonl", None, "--data: none.jsonl: no such file"),
        ("empty.jsonl", "", "empty.jsonl: is empty; --data needs at least one row"),
        ("blank.csv", "text,label\n", "blank.csv: has no rows; --data needs at least one"),
        ("bad.jsonl", '{"a": 1}\nno\n', "bad.jsonl: line 2 is not JSON"),
        ("notes.txt", "hello\n", "--data: notes.txt: unknown kind of file"),
        ("rows.csv", "3,good film\n4,bad film\n", "rows.csv: its first line looks like a row"),
        ("numbers.jsonl", '{"a": 1}\n{"a": 2}\n', r"numbers.jsonl: nothing can be made of its columns \(a\)"),
    ],
)
def test_what_cannot_be_used_is_refused(
    propose: Callable[..., Draft], name: str, content: str | None, said: str
) -> None:
    if content is not None:
        Path(name).write_text(content)
    with pytest.raises(UserError, match=said):
        propose(name)


def test_a_csv_with_semicolons_and_a_wrapped_json_are_read(propose: Callable[..., Draft]) -> None:
    Path("r.csv").write_text("Review Text;Sentiment\n" + "".join(f"a, {i};{('x', 'y')[i % 2]}\n" for i in range(20)))
    assert tomllib.loads(propose("r.csv").text)["task"]["template"] == "{Review Text}\nSentiment:"
    Path("w.json").write_text(json.dumps({"data": [{"question": f"q{i}", "answer": f"a{i}"} for i in range(20)]}))
    assert tomllib.loads(propose("w.json").text)["task"]["kind"] == "generation"


def test_a_model_that_is_not_here_has_lengths_by_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    data = write("chat.jsonl", [{"messages": turns}] * 10)
    asked = [sys.executable, "-m", "engine.propose", data, "--model=Qwen/Qwen3-0.6B"]
    done = subprocess.run(asked, capture_output=True, stdin=subprocess.DEVNULL, env={**os.environ, "HF_HOME": "hub"})
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout.splitlines()[-1])
    assert any(check.startswith("lengths are guessed from characters") for check in found["checks"])
    task = tomllib.loads(found["text"])["task"]
    assert task["messages"] == "messages" and task["too_long"] == "truncate"
    assert "assistant: hello" in found["rows"][0]["prompt"] + found["rows"][0]["options"][0]


def test_one_process_answers_question_after_question(shared: Path) -> None:
    asked = [*FOLLOWING, "--follow", f"--model={shared}/models/tiny-opt", write("d.jsonl", ROWS)]
    with subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin and process.stdout

        def answer(line: str) -> dict[str, Any]:
            assert process.stdin and process.stdout
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
            return next(found for found in map(json.loads, process.stdout) if found["type"] != "phase")

        first = answer('""\n[]')
        assert [(column["name"], column["role"]) for column in first["columns"]] == [
            ("text", "template"), ("label", "label"),
        ]  # fmt: skip
        assert first["columns"][1]["sample"] == "bad"
        assert "no column 'film'" in answer(json.dumps(['task.template="{film}"']))["text"]
        changed = answer(json.dumps(['task.template="{text}?"', "task.verbalizer={bad='awful'}"]))
        assert "?" in changed["rows"][0]["prompt"] and " awful" in changed["rows"][0]["options"]
        Path("d.jsonl").unlink()
        assert "d.jsonl" in answer("[]")["text"]  # and it goes on
        write("d.jsonl", ROWS)
        assert answer("[]")["text"] == first["text"]
        process.stdin.close()
        assert process.wait() == 130


@pytest.mark.parametrize("runtime", ["training-loop", "vllm"])
def test_a_proposal_trains(propose: Callable[..., Draft], home: Path, tmp_path: Path, runtime: str) -> None:
    text = propose(write("d.jsonl", ROWS), "run.steps=3", "run.eval_every=2", f"model.runtime={runtime}").text
    run = RunDir.create(load("d", text), "d", tmp_path / "run")
    assert Engine(run).finish() == 0
    assert run.steps_done() == 3 and run.info.read().runtime == runtime
