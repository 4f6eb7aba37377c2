"""Demonstrations before every prompt, and the prompts that an evaluation calibrates by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest

from engine.tasks.objective import metrics
from tests.engine.tasks.small_tasks import Bytes, Words, load, refused, write
from tests.engine.tasks.test_kinds import texts
from tests.engine.tasks.test_mezo_tasks import OFFICIAL, WIC

ROWS = [{"sentence": f"film {i}.", "label": i % 2} for i in range(30)]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shown(**keys: Any) -> Any:
    return load(Bytes(), **{"max_length": 10**4, **keys})


def test_the_same_examples_stand_before_every_prompt_and_none_is_trained_on() -> None:
    write("train.jsonl", ROWS)
    write("other.jsonl", [{"sentence": f"book {i}", "label": i % 2} for i in range(3)])
    first, other = (shown(shots=3, seed=seed, validation="other.jsonl", train_examples=20) for seed in (0, 1))
    before = {texts(e)[0].rpartition("\n\n")[0] for e in [*first.train, *first.validation, *other.train]}
    assert len(before) == 1
    demonstrations = before.pop().split("\n\n")
    assert len(demonstrations) == 3
    for text in demonstrations:
        number = int(text.removeprefix("film ").partition(".")[0])
        assert text == f"film {number}. It was {('terrible', 'great')[number % 2]}"
        assert not any(texts(e)[0].endswith(f"film {number}. It was") for e in [*first.train, *other.train])
    assert texts(first.validation[0])[0].endswith("\n\nbook 0 It was")
    assert len(first.train) == 20
    assert "3 rows of train.jsonl stand before every prompt, and are not trained on" in first.notes
    own = {"name": None, "template": "{sentence}", "label": "label", "verbalizer": {"0": "bad", "1": "good"}}
    assert refused(**own, validation=None, shots=29) == (
        "task.shots: 29 of 30 rows leave none to be validated on; lower it, or set task.validation"
    )
    assert refused(shots=30) == (
        "task.shots: 30, but train.jsonl has 30 rows, and none of those is trained on; lower it"
    )


def test_demonstrations_are_those_of_mezo_in_its_order() -> None:
    rows = [{**WIC[i % 2], "word": f"word {i}"} for i in range(60)]
    write("train.jsonl", rows)
    loaded = shown(name="wic", shots=4, validation=None, validation_examples=10)
    order = [int(i) for i in numpy.random.RandomState(0).permutation(60)]
    official = [OFFICIAL["wic"](rows[i]) for i in order[:4]]
    before = "\n\n".join(options[label].strip() for _, options, label in official)
    assert all(texts(e)[0].startswith(f"{before}\n\nDoes the word") for e in [*loaded.train, *loaded.validation])
    assert (len(loaded.train), len(loaded.validation)) == (46, 10)


def test_a_demonstration_of_a_generation_ends_in_its_answer() -> None:
    write("train.jsonl", [{"q": f"what {i}?", "a": f"it {i}"} for i in range(4)])
    loaded = shown(name=None, template="Q: {q}\nA:", target="{a}\n", shots=1)
    assert texts(loaded.train[0])[0].count("\n\nQ: what") == 1
    assert texts(loaded.train[0])[1][0].startswith(" it ")
    assert refused(Bytes(), name=None, kind="text", target="{q}", shots=1).startswith("task.shots: is for kind class")


def test_options_behind_the_domain_prompt() -> None:
    write("train.jsonl", ROWS)
    loaded = shown(calibration="sfc")
    assert all(example.domain is None for example in loaded.train)
    assert {texts(example.domain) == ("It was", [" terrible", " great"]) for example in loaded.validation} == {True}
    behind = shown(calibration="sfc", shots=1).validation[0].domain  # demonstrations stand before it as well
    assert texts(behind)[0].endswith("\n\nIt was") and texts(behind)[0].startswith("film ")
    begun = load(Words(begin=[7]), calibration="sfc", domain="").validation[0].domain
    assert begun.prompt == (7,) and len(begun.options[0]) == 1
    assert refused(Words(), calibration="sfc", domain="").startswith("task.domain: empty, and this model's tokenizer")
    copa = {"premise": "He ran.", "choice1": "It rained.", "choice2": "I fell.", "question": "cause", "label": 1}
    write("train.jsonl", [copa, {**copa, "question": "effect"}])
    domains = [texts(example.domain) for example in shown(name="copa", calibration="sfc").validation]
    assert domains == [("because", [" it rained.", " I fell."]), ("so", [" it rained.", " I fell."])]


def test_the_domain_prompt_behind_demonstrations_is_cut_as_the_others_are() -> None:
    write("train.jsonl", ROWS)
    keys = {"calibration": "sfc", "domain": "It was", "shots": 4, "too_long": "truncate", "max_length": 40}
    domains = [example.domain for example in shown(**keys).validation]
    assert all(domain is not None and domain.length <= 40 for domain in domains)


def test_what_the_prompt_makes_likelier_by_most_is_said() -> None:
    write("train.jsonl", ROWS[:2])
    examples = shown(calibration="sfc").validation  # of labels 0 and 1
    scores = [[-10.0, -4.0], [-10.0, -4.0]]
    assert metrics("classification", examples, scores)["accuracy"] == 0.5  # "great" is likely anyway
    calibrated = metrics("classification", examples, scores, [[-20.0, -4.0], [-11.0, -9.0]])
    assert calibrated["accuracy"] == 1.0
    assert calibrated["loss"] == metrics("classification", examples, scores)["loss"]
