"""Which evaluation is the best, by what each kind of task measures."""

from __future__ import annotations

import pytest

from engine.protocol.events import Eval
from engine.runs.best import best_evaluation, by_weight, judge, only_harm


def evaluations(*metrics: dict[str, float]) -> list[Eval]:
    return [Eval(step=10 * number, split="validation", metrics=each) for number, each in enumerate(metrics)]


@pytest.mark.parametrize(
    ("metrics", "best"),
    [
        ([{"accuracy": 0.5, "loss": 0.7}, {"accuracy": 0.9, "loss": 0.8}, {"accuracy": 0.6, "loss": 0.1}], 10),
        ([{"f1": 0.3, "exact_match": 0.2, "loss": 0.1}, {"f1": 0.6, "exact_match": 0.1, "loss": 0.9}], 10),
        ([{"loss": 2.0}, {"loss": 1.0}, {"loss": 1.5}], 10),
        ([{"accuracy": 0.5, "loss": 0.7}, {"accuracy": 0.5, "loss": 0.6}, {"accuracy": 0.5, "loss": 0.6}], 10),
    ],
)
def test_it_is_that_with_the_most_of_what_the_task_is_judged_by(metrics: list[dict[str, float]], best: int) -> None:
    found = best_evaluation(evaluations(*metrics))
    assert found is not None and found.step == best


def test_a_run_of_generated_texts_whose_f1_only_fell_did_harm() -> None:
    assert only_harm(evaluations({"f1": 0.6, "loss": 2.0}, {"f1": 0.5, "loss": 1.0}))
    assert not only_harm(evaluations({"f1": 0.5, "loss": 1.0}, {"f1": 0.6, "loss": 2.0}))


def test_what_a_run_is_judged_by_stands_first() -> None:
    assert judge({"loss": 1.0, "exact_match": 0.1, "f1": 0.2}) == "f1" and judge({}) == ""
    assert sorted(["exact_match", "loss", "f1"], key=by_weight) == ["f1", "loss", "exact_match"]
