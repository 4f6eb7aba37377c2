"""What is made of a split of the hub, once `datasets` has loaded it."""

from collections.abc import Sequence

import datasets
import pytest

from engine.errors import UserError
from engine.tasks.hub_sets import table_of
from engine.tasks.table import Column


def _any(present: Sequence[str]) -> None:
    pass


def test_columns_are_text_and_classes_have_their_names() -> None:
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["neg", "pos"]),
            "sure": datasets.Value("bool"),
            "turns": [{"role": datasets.Value("string")}],
        }
    )
    rows = {
        "text": ["007", None, "é"],
        "label": [1, 0, -1],
        "sure": [True, False, None],
        "turns": [[{"role": "x"}]] * 3,
    }
    split = datasets.Dataset.from_dict(rows, features).select([2, 0, 1])
    table = table_of(split, ["text", "label", "sure"], _any, "a/b@train")
    assert table.columns == {"text": ["é", "007", None], "label": ["-1", "1", "0"], "sure": [None, True, False]}
    assert table.row(1) == {"text": "007", "label": "1", "sure": "true"}
    assert table.classes == {"label": ["neg", "pos"]}
    assert table.where(1) == "a/b@train: row 2"


def test_columns_that_are_no_text() -> None:
    split = datasets.Dataset.from_dict({"text": [["a"], ["b"]]})
    with pytest.raises(UserError) as caught:
        table_of(split, ["text"], _any, "a/b@train")
    assert str(caught.value).startswith("a/b@train: row 1: column 'text' is of type list<item: string>, no text")


def test_lists_and_what_objects_hold_where_they_are_asked_for() -> None:
    features = datasets.Features(
        {
            "answers": {
                "text": datasets.List(datasets.Value("string")),
                "start": datasets.List(datasets.Value("int32")),
            },
            "turns": datasets.List({"role": datasets.Value("string"), "content": datasets.Value("string")}),
            "sizes": datasets.List(datasets.Value("float32")),
        }
    )
    row = {"answers": {"text": ["a", "b"], "start": [0, 7]}, "turns": [{"role": "user", "content": "hi"}], "sizes": [1]}
    split = datasets.Dataset.from_list([row, {**row, "answers": {"text": [], "start": []}}], features)
    asked = [Column("answers.text", "texts"), Column("answers.start", "texts"), Column("turns", "messages")]
    table = table_of(split, [*asked, Column("sizes", "texts")], _any, "a/b@train")
    assert table.columns == {
        "answers.text": [("a", "b"), ()],
        "answers.start": [("0", "7"), ()],
        "turns": [(("user", "hi"),)] * 2,
        "sizes": [("1.0",)] * 2,
    }
    with pytest.raises(UserError, match=r"row 1: column 'answers\.texts' is not in 'answers' \(it holds text, start\)"):
        table_of(split, [Column("answers.texts", "texts")], _any, "a/b@train")
