"""Samples of the data and the order of the batches."""

from collections import Counter
from pathlib import Path

import pytest

from engine.tasks.batches import Batches
from engine.tasks.example import Example
from tests.engine.tasks.small_tasks import ROWS, Words, load, refused, write


@pytest.fixture(autouse=True)
def _home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_training_sample_follows_the_seed_and_the_validation_sample_does_not() -> None:
    write("train.jsonl", ROWS)
    tokenizer = Words()
    first, again, other = (load(tokenizer, seed=s, train_examples=8, validation_examples=8) for s in (0, 0, 1))
    assert first == again
    assert len(first.train) == len(set(e.prompt for e in first.train)) == 8
    assert first.train != other.train
    assert first.validation == other.validation
    assert len(first.validation) == 8


def test_asking_for_more_than_there_is_takes_all_and_says_so() -> None:
    write("train.jsonl", ROWS)
    loaded = load(train_examples=21)
    assert len(loaded.train) == 20
    assert loaded.notes[0] == "task.train_examples is 21, train.jsonl has 20: all are used"


def test_without_a_validation_split_a_part_is_held_out() -> None:
    write("train.jsonl", ROWS)
    keys = {"name": None, "validation": None, "template": "{sentence}", "label": "label"}
    tokenizer = Words()
    first, other = (load(tokenizer, seed=s, **keys, verbalizer={"0": "no", "1": "yes"}) for s in (0, 1))
    assert (len(first.train), len(first.validation)) == (18, 2)
    assert not {e.prompt for e in first.train} & {e.prompt for e in first.validation}
    assert first.validation == other.validation
    assert first.notes[0] == "no task.validation: 2 of 20 rows of train.jsonl are held out to validate on"
    write("train.jsonl", ROWS[:1])
    assert refused(**keys, verbalizer={"0": "no", "1": "yes"}) == (
        "train.jsonl: has one row, none is left to validate on; set task.validation"
    )


EXAMPLES = [Example((i,), ((0,), (1,)), 0) for i in range(10)]


def numbers(step: int, size: int = 4, seed: int = 0) -> list[int]:
    return [e.prompt[0] for e in Batches(EXAMPLES, size, seed).at(step)]


def test_every_epoch_is_another_permutation() -> None:
    drawn = [number for step in range(5) for number in numbers(step)]  # 20 draws: two epochs
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert drawn[:10] != drawn[10:]


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    later = numbers(7)
    assert numbers(7) == later
    assert [numbers(s, seed=1) for s in range(3)] != [numbers(s, seed=0) for s in range(3)]


def test_the_order_is_the_same_on_every_python() -> None:
    """A resumed run must see the batches of the first one: this order is part of the run's format."""
    assert numbers(0, size=10) == [1, 6, 9, 0, 8, 4, 5, 3, 2, 7]


def test_a_batch_may_be_larger_than_the_data() -> None:
    assert set(Counter(numbers(0, size=25)).values()) == {2, 3}


LABELLED = [Example((i,), ((0,), (1,)), int(i % 3 == 0)) for i in range(60)]  # 20 of 60 are of label 1


def test_stratified_batches_have_the_labels_in_proportion_and_every_example_once_an_epoch() -> None:
    batches = Batches(LABELLED, 6, 0, "stratified")
    drawn = [batches.at(step) for step in range(20)]  # two epochs
    assert all(sum(example.label for example in one) == 2 for one in drawn)
    assert all(sum(example.label for example in one[part : part + 3]) == 1 for one in drawn for part in (0, 3))
    numbered = [example.prompt[0] for one in drawn for example in one]
    assert sorted(numbered[:60]) == sorted(numbered[60:]) == list(range(60))
    assert numbered[:60] != numbered[60:]
    assert Batches(LABELLED, 6, 0, "stratified").at(7) == drawn[7]
    assert [example.label for example in Batches(LABELLED, 60, 0).at(0)] != [
        example.label for example in Batches(LABELLED, 60, 0, "stratified").at(0)
    ]


def test_the_stratified_order_is_the_same_on_every_python() -> None:
    """It is part of the run's format."""
    assert [e.prompt[0] for e in Batches(LABELLED, 6, 0, "stratified").at(0)] == [25, 1, 51, 55, 41, 42]
