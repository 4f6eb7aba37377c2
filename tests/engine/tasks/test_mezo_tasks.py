"""The eleven tasks of MeZO: every prompt and option as its templates write them, and its splits, on real rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy
import pytest

from engine.preset.task import Task as PresetTask
from engine.tasks.builtin import BUILTIN
from engine.tasks.example import Example
from engine.tasks.load import load_task
from engine.tasks.spec import TaskSpec
from tests.engine.tasks.as_mezo import FOLDERS, OFFICIAL, Row, Written
from tests.engine.tasks.small_tasks import Bytes, load, write

WIC = [
    {"word": "place", "sentence1": "Do you want to come over to my place later?", "sentence2": "A political system "
     "with no place for the less prominent groups.", "label": 0},
    {"word": "hold", "sentence1": " The general ordered the colonel to hold his position.", "sentence2": "Hold the "
     "taxi.", "label": 1},
]  # fmt: skip


def rows_of(task: str, split: str, shared: Path) -> list[Row]:
    if task == "wic":  # of which there is no sample
        return WIC
    lines = (shared / "data" / FOLDERS.get(task, task) / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def written(example: Example) -> Written:
    prompt = Bytes().text(example.prompt)
    return prompt, [prompt + Bytes().text(option) for option in example.options], example.label


@pytest.mark.parametrize("task", sorted(OFFICIAL))
def test_every_prompt_and_option_is_as_mezo_writes_it(task: str, shared: Path, tmp_path: Path) -> None:
    rows = rows_of(task, "validation", shared)[:200]
    path = write(str(tmp_path / "rows.jsonl"), rows)
    loaded = load(Bytes(), name=task, train=path, validation=path, max_length=10**6, train_examples=10**6,
                  validation_examples=10**6)  # fmt: skip
    assert len(loaded.validation) == len(rows)
    for row, example, trained in zip(rows, loaded.validation, loaded.train, strict=True):
        official = OFFICIAL[task](row)
        prompt, texts, label = written(example)
        assert (prompt, texts, label) == (official[0].lstrip().rstrip(" "), [t.lstrip() for t in official[1]], label)
        assert label == official[2] and example.is_right(label)
        if loaded.kind == "multiple-choice":  # trained on is the first right option alone
            assert written(trained)[1] == [texts[label]]
        else:
            assert (trained.prompt, trained.options, trained.label) == (example.prompt, example.options, label)
            assert not trained.answers and bool(example.answers) == (loaded.kind == "generation")


def test_every_right_answer_of_record_counts(shared: Path, tmp_path: Path) -> None:
    rows = rows_of("record", "train", shared)
    path = write(str(tmp_path / "rows.jsonl"), rows)
    loaded = load(Bytes(), name="record", train=path, validation=path, max_length=10**6)
    for row, example in zip(rows, loaded.validation, strict=True):
        counting = {row["entities"][n] for n in range(len(row["entities"])) if example.is_right(n)}
        assert counting == set(row["answers"])
    assert any(len(example.right) > 1 for example in loaded.validation)


@pytest.mark.parametrize(("task", "train", "dev"), [("cb", 150, 100), ("copa", 300, 100), ("rte", 500, 500)])
def test_the_splits_are_mezos(task: str, train: int, dev: int, shared: Path) -> None:
    """The last `dev` of the first 1,000 + `dev` of numpy's permutation, and what is before them."""
    file = shared / "data" / task / "train.jsonl"
    rows = rows_of(task, "train", shared)
    order = numpy.random.RandomState(0).permutation(len(rows))[: 1000 + dev]
    loaded, other = (
        load(Bytes(), name=task, train=str(file), validation=None, max_length=10**6, seed=s) for s in (0, 1)
    )
    assert (len(loaded.train), len(loaded.validation)) == (train, dev)

    def prompts(indices: Any) -> list[str]:
        return sorted(OFFICIAL[task](rows[i])[0].strip(" ") for i in indices)

    assert sorted(written(e)[0] for e in loaded.validation) == prompts(order[-dev:])
    assert sorted(written(e)[0] for e in loaded.train) == prompts(order[:-dev])
    assert other.validation == loaded.validation  # for every seed
    assert not {e.prompt for e in other.train} & {e.prompt for e in other.validation}


def test_a_thousand_are_trained_on_and_five_hundred_others_validated_on(tmp_path: Path) -> None:
    rows = [{**WIC[0], "word": f"word {i}"} for i in range(2000)]
    path = write(str(tmp_path / "rows.jsonl"), rows)
    first, other = (load(Bytes(), name="wic", train=path, validation=None, max_length=10**4, seed=s) for s in (0, 1))
    order = [int(i) for i in numpy.random.RandomState(0).permutation(2000)]
    for loaded in (first, other):
        assert (len(loaded.train), len(loaded.validation)) == (1000, 500)
        assert not {e.prompt for e in loaded.train} & {e.prompt for e in loaded.validation}
    assert first.train != other.train
    expected = {OFFICIAL["wic"](rows[i])[0] for i in order[:1000]}
    assert {written(e)[0] for e in first.train} == expected


def test_the_names_of_a_preset_are_those_of_the_table() -> None:
    names = get_args(get_args(PresetTask.model_fields["name"].annotation)[0])
    assert set(names) == set(BUILTIN)
    for name in set(names) - {"demo"}:
        spec = TaskSpec.of(PresetTask(name=name))
        assert {"train", "test"} <= spec.sources.keys() or name == "sst2"


def test_a_task_is_one_short_declaration(tmp_path: Path) -> None:
    """AG News, of which this project knows nothing else, in the columns of the hub."""
    rows = [
        {"text": f"Headline {i}. What happened next.", "label": i % 4, "unused": None} for i in range(40)
    ]  # fmt: skip
    path = write(str(tmp_path / "rows.jsonl"), rows)
    loaded = load(Bytes(), name="ag_news", train=path, validation=None, max_length=10**4)
    assert (loaded.kind, len(loaded.train), len(loaded.validation)) == ("classification", 36, 4)
    assert loaded.option_texts == ["world", "sports", "business", "technology"]
    prompt, texts, label = written(loaded.train[0])
    assert prompt == "Headline 0. What happened next.\nThis is news about"
    assert texts[label] == f"{prompt} world"


def test_a_name_brings_what_the_preset_does_not_say(tmp_path: Path) -> None:
    path = write(str(tmp_path / "rows.jsonl"), WIC * 3)
    loaded = load_task(
        PresetTask(name="wic", train=path, validation=path, join=" -> ", template="{word}"), Bytes(), seed=0,
        max_length=100,
    )  # fmt: skip
    assert written(loaded.train[0])[:2] == ("place", ["place -> No", "place -> Yes"])
