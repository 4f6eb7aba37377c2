"""Parquet: what of its types is text, several files as one, names of classes."""

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tests.engine.tasks.small_tasks import load, prompts, refused, unchecked

KEYS = {"template": "{text}", "name": None, "label": "label", "verbalizer": {"0": "no", "1": "yes"}}


@pytest.fixture(autouse=True)
def _folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def parquet(name: str, names: list[str] | None = None, **columns: Any) -> str:
    columns.setdefault("label", [1] * len(next(iter(columns.values()))))
    table = pyarrow.table(columns)
    if names:
        label = {"names": names, "_type": "ClassLabel"}
        info = {"info": {"features": {"text": {"dtype": "string", "_type": "Value"}, "label": label}}}
        table = table.replace_schema_metadata({b"huggingface": json.dumps(info).encode()})
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table, name, row_group_size=3)
    return name


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pyarrow.array(["007", "a\nb\0"]), ["007", "a\nb\0"]),
        (pyarrow.array(["x", "y"], pyarrow.large_string()), ["x", "y"]),
        (pyarrow.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
        (pyarrow.array(["é".encode()], pyarrow.binary()), ["é"]),
        (pyarrow.array([7, -1], pyarrow.int8()), ["7", "-1"]),
        (pyarrow.array([2**63], pyarrow.uint64()), [str(2**63)]),
        (pyarrow.array([0.1, 1.0, 1e22]), ["0.1", "1.0", "1e+22"]),
        (pyarrow.array([0.1, 2.0], pyarrow.float32()), ["0.1", "2.0"]),
        (pyarrow.array([decimal.Decimal("1.50")]), ["1.50"]),
        (pyarrow.array([decimal.Decimal("1E-10"), decimal.Decimal(0)]), ["0.0000000001", "0.0000000000"]),
        (pyarrow.array([True, False]), ["true", "false"]),
        (pyarrow.array([datetime.date(2024, 1, 1)]), ["2024-01-01"]),
        (pyarrow.array([datetime.datetime(2024, 1, 1, 12)]), ["2024-01-01 12:00:00"]),
        (pyarrow.array([0], pyarrow.timestamp("ns")), ["1970-01-01 00:00:00"]),
    ],
)
def test_text_of_every_type(values: Any, texts: list[str]) -> None:
    assert prompts(parquet("t.parquet", text=values)) == texts


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (pyarrow.array([["a"]] * 5), "row 1: column 'text' is of type list<element: string>, no text; name a column"),
        (pyarrow.array([{"a": 1}] * 5), "row 1: column 'text' is of type struct<a: int64>, no text; name a column"),
        (
            pyarrow.array([b"a", b"b", None, b"caf\xe9", b"c"]),
            "row 4: column 'text' holds bytes that are no UTF-8; mend or remove the row",
        ),
        (
            pyarrow.array([b"a", b"b", None, b"caf\xe9", b"c"]).view(pyarrow.string()),
            "row 4: column 'text' holds bytes that are no UTF-8; mend or remove the row",
        ),
        (pyarrow.array(["a", None, "c", "d", "e"]), "row 2: column 'text' has no text; mend or remove the row"),
        (pyarrow.array([0.1, 0, None, 1, 2], pyarrow.float32()), "row 3: column 'text' has no text; mend or remove"),
        (
            pyarrow.array([0, None, 2**62, 1, 1], pyarrow.timestamp("us")),
            "row 3: column 'text' is of type timestamp[us] and no date of a calendar; mend or remove the row",
        ),
        (pyarrow.nulls(5), "row 1: column 'text' has no text; mend or remove the row"),
    ],
)
def test_values_that_are_no_text(values: Any, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.tasks.files.parquet._BATCH", 2)
    parquet("t.parquet", text=values)
    assert refused(**{**KEYS, "train": "t.parquet", "validation": "t.parquet"}).startswith(f"t.parquet: {why}")


def test_columns_that_nobody_uses_may_hold_anything() -> None:
    odd = {
        "headers": pyarrow.array([[("a", "1")]] * 2, pyarrow.map_(pyarrow.string(), pyarrow.string())),
        "broken": pyarrow.array([b"\xff"] * 2).view(pyarrow.string()),
        "text.x": pyarrow.array(["other", "other"]),
        "nested": pyarrow.array([{"text": "no"}] * 2),
    }
    assert prompts(parquet("t.parquet", text=["a", "b"], **odd)) == ["a", "b"]
    assert prompts("t.parquet", template="{text.x}") == ["other", "other"]
    assert prompts("t.parquet", template="{nested.text}") == ["no", "no"]  # what is asked for in it
    assert refused(**{**KEYS, "train": "t.parquet", "template": "{nest.text}"}).startswith(
        "task.template: no column 'nest.text' in t.parquet (it has text, headers, broken, text.x, nested, label)"
    )
    twice = pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 3, ["text", "text", "label"])
    pyarrow.parquet.write_table(twice, "u.parquet")
    assert refused(**{**KEYS, "train": "u.parquet"}) == "u.parquet: two columns are called 'text'; rename one"


def test_several_files_are_one_where_they_are_written_as_one() -> None:
    for part in range(3):
        parquet(f"data/train-{part}.parquet", text=[f"{part}a", f"{part}b"])
    parquet("data/.hidden.parquet", text=["hidden"])
    parquet("data/older/train-9.parquet", text=["older"])
    parquet("data/test-0.parquet", text=["test"])
    Path("data/_SUCCESS").touch()
    train = ["0a", "0b", "1a", "1b", "2a", "2b"]
    assert prompts("data/train-*.parquet") == train
    assert prompts("data/train-?.parquet") == train
    Path("data/test-0.parquet").unlink()
    assert prompts("data") == train
    note = "task.train: data/train-*.parquet: 3 Parquet files are read as one, train-0.parquet to train-2.parquet"
    assert note in load(**{**KEYS, "train": "data/train-*.parquet", "validation": "data"}).notes
    assert unchecked(train="data/train_*.parquet") == (
        "task.train: data/train_*.parquet: no such file, and no Parquet file that it is a pattern of; "
        "did you mean 'train-2.parquet'?"
    )
    parquet("data/train-2.parquet", texts=["2a"])
    assert refused(**{**KEYS, "train": "data", "validation": "data"}) == (
        "data/train-2.parquet: task.template: no column 'text' in data (it has texts, label); did you mean 'texts'?"
    )
    parquet("data/train-1.parquet", text=["1a", None])
    Path("data/train-2.parquet").unlink()
    assert refused(**{**KEYS, "train": "data", "validation": "data"}) == (
        "data/train-1.parquet: row 2: column 'text' has no text; mend or remove the row"
    )
    parquet("data/train-*.parquet", text=["the named one"])
    assert prompts("data/train-*.parquet") == ["the named one"]


def test_files_of_different_splits_are_not_one() -> None:
    for name in ("train-0-of-2", "train-1-of-2", "test-0-of-1", "Validation"):
        parquet(f"data/{name}.parquet", text=["a"])
    for text in ("data", "data/*.parquet"):
        message = f"task.{{}}: {text}: holds files of different splits (Validation.parquet, test-0-of-1.parquet, "
        message += "train-0-of-2.parquet); write a pattern such as data/{}*.parquet"
        assert unchecked(train=text) == message.format("train", "train-")
        assert unchecked(**{**KEYS, "train": "data/train-*.parquet", "validation": text}) == message.format(
            "validation", "Validation"
        )
    assert prompts("data/train-*.parquet") == ["a", "a"]
    for name in ("trained", "latest", "0"):
        parquet(f"other/{name}.parquet", text=["a"])
    assert prompts("other") == ["a"] * 3
    parquet("other/a_dev.parquet", text=["a"])
    parquet("other/b.testing.parquet", text=["a"])
    assert unchecked(train="other").endswith("write a pattern such as other/a_dev*.parquet")


def test_brackets_are_letters_in_a_pattern_too() -> None:
    parquet("d1/a1.parquet", text=["other"])
    parquet("d[1]/a1.parquet", text=["other"])
    parquet("d[1]/a[1]-0.parquet", text=["named"])
    assert prompts("d[1]/a[1]-*.parquet") == ["named"]


@pytest.mark.parametrize(
    "options", [{"neg": "bad", "pos": "good"}, {"pos": "good", "neg": "bad"}, {"0": "bad", "1": "good"}]
)
def test_names_of_classes_are_labels_beside_their_numbers(options: dict[str, str]) -> None:
    file = parquet("t.parquet", ["neg", "pos"], text=["a", "b", "c"], label=[1, 0, 1])
    found = load(**{**KEYS, "train": file, "validation": file, "verbalizer": options})
    assert [found.option_texts[example.label] for example in found.train] == ["good", "bad", "good"]
    assert prompts(file, template="{label}", verbalizer=options) == ["1", "0", "1"]


def test_names_of_classes_that_are_numbers_of_others() -> None:
    file = parquet("t.parquet", ["1", "2", "3"], text=["a", "b", "c"], label=[0, 1, 2])
    by_name = load(**{**KEYS, "train": file, "validation": file, "verbalizer": {"1": "x", "2": "y", "3": "z"}})
    assert [by_name.option_texts[example.label] for example in by_name.train] == ["x", "y", "z"]
    by_number = load(**{**KEYS, "train": file, "validation": file, "verbalizer": {"0": "x", "1": "y", "2": "z"}})
    assert [by_number.option_texts[example.label] for example in by_number.train] == ["x", "y", "z"]
    assert refused(**{**KEYS, "train": file, "verbalizer": {"1": "x", "2": "y"}}) == (
        "task.verbalizer: '1' is the number of one class of column 'label' of t.parquet and the name of another "
        "(1, 2, 3); give a column in which it is but one of them"
    )


def test_names_of_classes_that_contradict() -> None:
    file = parquet("t.parquet", ["neg", "pos"], text=["a"], label=[0])
    assert refused(**{**KEYS, "train": file, "verbalizer": {"neg": "x", "0": "y"}}) == (
        "task.verbalizer: 'neg' and '0' are the same class of column 'label' of t.parquet; keep one"
    )
    parquet("d/a.parquet", ["neg", "pos"], text=["a"], label=[0])
    parquet("d/b.parquet", ["pos", "neg"], text=["a"], label=[0])
    same = "give files whose numbers mean the same"
    assert refused(**{**KEYS, "train": "d"}) == (
        f"d/b.parquet: column 'label' has classes pos, neg, in d/a.parquet it has classes neg, pos; {same}"
    )
    parquet("d/b.parquet", text=["a"], label=[0])
    assert refused(**{**KEYS, "train": "d"}) == (
        f"d/b.parquet: column 'label' has no names of classes, in d/a.parquet it has classes neg, pos; {same}"
    )
    parquet("d/b.parquet", ["neg", "pos"], text=["a"], label=[0])
    parquet("d/a.parquet", text=["a"], label=[0])
    assert refused(**{**KEYS, "train": "d"}) == (
        f"d/b.parquet: column 'label' has classes neg, pos, in d/a.parquet it has no names of classes; {same}"
    )


@pytest.mark.parametrize("values", [[0.0, 1.0, 0.0], [False, True, False], ["0", "1.0", " 0"]])
@pytest.mark.parametrize("options", [{"pos": "good", "neg": "bad"}, {"0.0": "bad", "01": "good"}])
def test_numbers_of_classes_in_columns_of_other_types(values: list[Any], options: dict[str, str]) -> None:
    file = parquet("t.parquet", ["neg", "pos"], text=["a", "b", "c"], label=values)
    found = load(**{**KEYS, "train": file, "validation": file, "verbalizer": options})
    assert [found.option_texts[example.label] for example in found.train] == ["bad", "good", "bad"]


def test_a_class_without_an_option_is_told_by_its_name() -> None:
    file = parquet("t.parquet", ["Negative", "Positive", "Mixed"], text=["a", "b"], label=[1, 0])
    assert refused(**{**KEYS, "train": file, "validation": file, "verbalizer": {"Positive": "x", "Mixed": "y"}}) == (
        "t.parquet: row 2: label 0 ('Negative') is not in task.verbalizer (it has Positive, Mixed); add it there"
    )
    parquet("t.parquet", ["1", "2", "3", "5"], text=["a"], label=[2])  # a number, and of another class the name
    both = {**KEYS, "train": file, "validation": file}
    message = refused(**{**both, "verbalizer": {"2": "x", "5": "y"}})
    assert "label 2 ('3') is not in task.verbalizer (it has 2, 5)" in message
    parquet("t.parquet", ["neg", "pos"], text=["a"], label=[-1])  # as of splits without labels
    assert "row 1: label '-1' is not in" in refused(**{**both, "verbalizer": {"neg": "x", "pos": "y"}})
