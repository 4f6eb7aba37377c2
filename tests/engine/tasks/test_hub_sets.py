"""What is made of a split of the hub, once `datasets` has loaded it."""

from collections.abc import Sequence

import datasets
import pytest

from engine.errors import UserError
from engine.tasks.hub_sets import table_of


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
