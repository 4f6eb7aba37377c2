"""A run of a generation task: its evaluations have the loss, and what was generated beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.engine.conftest import Runner, needs_vllm


@needs_vllm
@pytest.mark.parametrize("runtime", ["vllm", "training-loop"])
def test_an_evaluation_generates_and_compares(tiny_run: Runner, runtime: str) -> None:
    rows = [
        {"title": "", "context": f"It is {n}.", "question": f" is it {n}", "answers": {"text": [str(n), f"just {n}"]}}
        for n in range(12)
    ]
    data = tiny_run.home / "qa.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = tiny_run(
        "task.name=squad", f"task.train={data}", f"task.validation={data}", f"model.runtime={runtime}", "run.steps=2",
        "task.generate_examples=5",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    taken: list[dict[str, Any]] = done.of("eval")
    assert [one["step"] for one in taken] == [0, 2]
    for one in taken:
        assert one["metrics"].keys() == {"loss", "f1", "exact_match"}
        assert 0 <= one["metrics"]["exact_match"] <= one["metrics"]["f1"] <= 1
