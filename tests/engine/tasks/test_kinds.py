"""Kinds of tasks: which keys make which, choices that vary by row, what joins prompt and option, and bad rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.preset.task import Task as PresetTask
from engine.tasks.objective import loss, metrics
from engine.tasks.spec import TaskSpec
from tests.engine.tasks.small_tasks import Bytes, Words, load, refused, unchecked, write

OWN: dict[str, Any] = {"name": None, "template": "{q}"}
FRUIT = [
    {"q": "round?", "fruit": ["apple", "banana", "plum"], "right": ["plum", "apple"], "n": 2, "a": "figs", "b": "peas"},
    {"q": "long?", "fruit": ["melon", "banana"], "right": ["banana"], "n": 1, "a": "x y", "b": "z"},
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def texts(example: Any) -> tuple[str, list[str]]:
    return Bytes().text(example.prompt), [Bytes().text(option) for option in example.options]


def choose(rows: list[dict[str, Any]] = FRUIT, path: str = "train.jsonl", **keys: Any) -> Any:
    write(path, rows)
    return load(Bytes(), **{**OWN, "train": path, "validation": path, **keys}, max_length=1000)


def refusal(rows: list[dict[str, Any]], **keys: Any) -> str:
    write("train.jsonl", rows)
    return refused(Bytes(), **{**OWN, **keys})


# -- kinds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "kind", "objective"),
    [
        ({"template": "{q}", "label": "n", "verbalizer": {"0": "a", "1": "b"}}, "classification", "classification"),
        ({"template": "{q}", "label": "n", "choices": ["{a}", "{b}"]}, "multiple-choice", "lm"),
        ({"template": "{q}", "target": "{a}"}, "generation", "lm"),
        ({"template": "{q}", "target": "{a}", "objective": "lm"}, "generation", "lm"),  # as older presets say it
        ({"kind": "text", "target": "{a}"}, "text", "lm"),
        ({"name": "sst2", "objective": "classification", "target": "{a}"}, "classification", "classification"),
        ({"name": "copa"}, "multiple-choice", "lm"),
        ({"name": "copa", "objective": "lm"}, "multiple-choice", "lm"),
        ({"name": "squad", "template": "{q}"}, "generation", "lm"),
        ({"name": "copa", "kind": "generation", "target": "{choice1}"}, "generation", "lm"),
    ],
)
def test_what_the_keys_say(keys: dict[str, Any], kind: str, objective: str) -> None:
    given = {"train": "t.csv"} | keys
    spec = TaskSpec.of(PresetTask(**given))
    assert (spec.kind, spec.objective) == (kind, objective)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"kind": "text", "target": "{a}"},
            "task.template: kind text has no prompt; put it into task.target, or set task.kind=generation",
        ),
        ({"kind": "generation", "objective": "classification", "target": "{a}"}, "task.objective: classification is"),
        ({"kind": "multiple-choice", "label": "n"}, "task.choices: missing; a template for each choice, as in ["),
        ({"choices": ["{a}", "{b}"]}, "task.label: missing; the column that holds the number of the right choice, or"),
        (
            {"choices": ["{a}", "{b}"], "label": "n", "answers": "right"},
            "task.label and task.answers are both set; keep the one that says which choice is right",
        ),
        ({"choices": ["{a}"], "target": "{a}"}, "task.choices and task.target are both set; keep one, or say which"),
        (
            {"verbalizer": {"0": "a", "1": "b"}, "label": "n", "answers": "right"},
            "task.answers: is for kind multiple-choice, generation; this task is of kind classification; remove",
        ),
        ({"template": "{q:uper}", "target": "{a}"}, "task.template: '{q:uper}': 'uper' is no function of a text (raw,"),
        ({"template": "{q:=x}", "target": "{a}"}, "task.template: '{q:=x}': a replacement is old=new, as in {passage:"),
    ],
)
def test_keys_that_do_not_go_together(keys: dict[str, Any], message: str) -> None:
    found = unchecked(**{**OWN, "train": "t.csv", "validation": None, **keys})
    assert found.startswith(message) and "\n" not in found, found


# -- prompt and option ---------------------------------------------------------------------------


def test_a_space_joins_but_nothing_after_a_newline() -> None:
    plain = choose(choices=["{a}", "{b}"], label="right_n", rows=[{**row, "right_n": 0} for row in FRUIT])
    assert texts(plain.validation[0]) == ("round?", [" figs", " peas"])
    rows = [{**row, "right_n": 0} for row in FRUIT]
    line = {"template": "{q}\n", "label": "right_n", "choices": ["{a}", "{b}"]}
    assert texts(choose(rows, **line).validation[0]) == ("round?\n", ["figs", "peas"])
    assert texts(choose(rows, **line, join="- ").validation[0]) == ("round?\n", ["- figs", "- peas"])
    assert texts(choose(rows, **{**line, "template": "{q} "}, join="").validation[0]) == ("round? ", ["figs", "peas"])


def test_a_run_that_began_by_earlier_rules_goes_on_with_a_space() -> None:
    write("train.jsonl", [{"sentence": f"film {i}", "label": i % 2} for i in range(4)])
    found = [load(Bytes(), template="{sentence}\n", rules=rules).train[0] for rules in (2, 3)]
    assert [texts(example)[1] for example in found] == [[" terrible", " great"], ["terrible", "great"]]


def test_functions_and_replacements_of_a_text() -> None:
    row = {"q": " is it ", "a": "The End.", "b": "I Am", "n": 0}
    template = "{q:question|capital} {a:lower|stopless} {a:uncapital} {b:uncapital} {a:End={b}|.=!} {{}}"
    loaded = choose([row, row], template=template, choices=["{a}", "{b}"], label="n")
    assert texts(loaded.validation[0])[0] == "Is it? the end the End. I Am The I Am! {}"
    raw = choose([row, row], template="-{q:raw}-{q}", choices=["{a}", "{b}"], label="n")
    assert texts(raw.validation[0])[0] == "- is it -is it"


# -- choices -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["t.jsonl", "t.json", "t.parquet", "t.csv"])
def test_choices_of_a_list_vary_by_row_and_several_may_be_right(path: str) -> None:
    if path.endswith(".csv"):  # where a list is written as JSON
        rows = [{key: json.dumps(v) if isinstance(v, list) else v for key, v in row.items()} for row in FRUIT]
    else:
        rows = FRUIT
    loaded = choose(rows, path, choices="a {fruit:apple=fig}", answers="right")
    assert (loaded.kind, loaded.objective, loaded.option_texts) == ("multiple-choice", "lm", [])
    first, second = loaded.validation
    assert texts(first) == ("round?", [" a fig", " a banana", " a plum"])
    assert (first.label, first.right) == (2, (2, 0))
    assert (texts(second)[1], second.label, second.right) == ([" a melon", " a banana"], 1, ())
    assert [texts(example)[1] for example in loaded.train] == [[" a plum"], [" a banana"]]  # the first right one alone


def test_the_right_choice_by_its_number_or_its_letter() -> None:
    rows = [{**FRUIT[0], "n": n} for n in (2, "b", "0.0", " A ")]
    assert [example.label for example in choose(rows, choices=["{fruit}"], label="n").validation] == [2, 1, 0, 0]


def test_any_right_choice_counts_and_the_loss_is_that_of_the_first() -> None:
    examples = choose(choices="{fruit}", answers="right").validation
    scores = [[-7.0, -70.0, -10.0], [-1.0, -7.0]]  # by token: "apple", which is right as well; "melon", which is not
    assert metrics("lm", examples, scores) == {"loss": 17 / 12, "accuracy": 0.5}  # of " plum" and " banana"
    assert loss("lm", examples, scores) == 17 / 12


LIST: dict[str, Any] = {"choices": "{fruit}", "answers": "right"}


@pytest.mark.parametrize(
    ("changed", "keys", "message"),
    [
        ({"fruit": ["fig"], "right": ["fig"]}, LIST, "has 1 choice, two are the least; remove it"),
        ({"fruit": []}, LIST, "has 0 choices, two are the least; remove it"),
        ({"fruit": "fig"}, LIST, "column 'fruit' is one text; one template for all choices needs a list"),
        ({"fruit": None}, LIST, "column 'fruit' has no value; one template for all choices needs a list"),
        ({"fruit": [1, [2]]}, LIST, "column 'fruit' is a list that holds more than texts; mend or remove the row"),
        ({"fruit": {"x": 1}}, LIST, "column 'fruit' is an object, no list of texts; name the list in it, as in fruit."),
        ({"fruit": ["fig", " "]}, LIST, "a choice is empty; mend or remove the row"),
        ({"right": ["kiwi"]}, LIST, "answer 'kiwi' is none of its choices (apple, banana, plum); mend or remove the"),
        ({"right": []}, LIST, "column 'right' holds no answer; mend or remove the row"),
        ({"right": None}, LIST, "column 'right' holds no answer; mend or remove the row"),
        ({"n": 3}, {"choices": "{fruit}", "label": "n"}, "label '3' is none of 3 choices; write its number from 0, or"),
        ({"n": None}, {"choices": "{fruit}", "label": "n"}, "column 'n' has no label; mend or remove the row"),
        ({"a": "peas"}, {"choices": ["{a}", "{b}"], "label": "n"}, "the options 'peas' and 'peas' are the same tokens"),
        ({"a": ["x"]}, {"choices": ["{a}", "{b}"], "label": "n"}, "column 'a' is a list, no text; name a column of"),
    ],
)
def test_a_bad_row_is_named(changed: dict[str, Any], keys: dict[str, Any], message: str) -> None:
    rows = [{**FRUIT[0], "n": 0, **changed}, {**FRUIT[1], "n": 0}]
    assert refusal(rows, **keys).startswith(f"train.jsonl: line 1: {message}")


def test_lists_of_different_lengths() -> None:
    rows = [{**FRUIT[0], "size": ["small"]}, FRUIT[1]]
    assert refusal(rows, choices="{size} {fruit}", answers="right") == (
        "train.jsonl: line 1: columns size, fruit hold lists of different lengths; mend or remove the row"
    )


def test_a_wrong_column_names_the_nearest() -> None:
    write("train.jsonl", FRUIT)
    assert unchecked(**OWN, train="train.jsonl", choices="{fruits}", answers="right") == (
        "task.choices: no column 'fruits' in train.jsonl (it has q, fruit, right, n, a, b); did you mean 'fruit'?"
    )
    assert unchecked(name="rte", train="train.jsonl").startswith("task.template: no column 'premise' in train.jsonl (")


# -- texts ---------------------------------------------------------------------------------------


def test_all_of_a_text_is_learned_but_what_it_begins_with() -> None:
    write("train.jsonl", [{"t": "one two three"}, {"t": "four five"}])
    keys: dict[str, Any] = {"name": None, "kind": "text", "target": "{t}!"}
    loaded = load(**keys, max_length=4)
    assert [(len(e.prompt), len(e.options[0])) for e in loaded.train] == [(1, 2), (1, 1)]
    begun = load(Words(begin=[7]), **keys)
    assert [(e.prompt, len(e.options[0])) for e in begun.train] == [((7,), 3), ((7,), 2)]
    cut = load(**keys, max_length=2, too_long="truncate")
    assert [(len(e.prompt), len(e.options[0])) for e in cut.train] == [(1, 1), (1, 1)]
    assert "train.jsonl: 1 of 2 examples are longer than 2 tokens (longest 3); they are cut at their end" in cut.notes
    write("train.jsonl", [{"t": ""}, {"t": "four five"}])
    assert refused(**keys) == (
        "train.jsonl: line 1: the text is a single token, nothing is left to learn; remove the row"
    )


# -- generated texts -----------------------------------------------------------------------------

QA = [{"q": f"what {i}?", "a": f"it {i}", "all": [f"it {i}", "x"]} for i in range(6)]


@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        ({}, 0),  # an older preset: its evaluations go on to know the loss alone
        ({"kind": "generation"}, 6),
        ({"kind": "generation", "generate_examples": 2}, 2),
        ({"kind": "generation", "generate_examples": 0}, 0),
        ({"generate_examples": 100}, 6),
    ],
)
def test_for_how_many_a_text_is_generated(keys: dict[str, Any], asked: int) -> None:
    loaded = choose(QA, target="{a}\n", **keys)
    found = [example.answers for example in loaded.validation if example.answers]
    assert len(found) == asked and all(len(answers) == 1 for answers in found)
    assert not any(example.answers for example in loaded.train)
    assert loaded.stops_at_newline and loaded.generate_tokens == 50
    assert choose(QA, target="{a}\n", **keys).validation == loaded.validation


def test_a_generated_text_is_compared_with_every_answer_and_has_room() -> None:
    keys: dict[str, Any] = {"kind": "generation", "target": "{a}", "answers": "all", "end": "none"}
    assert choose(QA, **keys).validation[1].answers == ("it 1", "x")
    write("train.jsonl", QA)
    cut = load(Bytes(), **OWN, **keys, max_length=25, generate_tokens=20, too_long="truncate")
    assert {len(example.prompt) for example in cut.validation} == {5}  # of 7, as 20 more are to fit
    assert {len(example.prompt) for example in cut.train} == {7}
    assert refused(Bytes(), **OWN, **keys, generate_tokens=60).startswith(
        "train.jsonl: 6 of 6 examples are longer than 64 tokens (long"
    )


@pytest.mark.parametrize("path", ["t.jsonl", "t.parquet"])
def test_a_text_that_looks_like_a_list_is_one_text(path: str) -> None:
    """Files that have lists of their own say what is one; a CSV cannot."""
    keys: dict[str, Any] = {"kind": "generation", "target": "{a}", "answers": "a"}
    loaded = choose([{"q": "x?", "a": "[1, 2]"}, {"q": "y?", "a": "[3]"}], path, **keys)
    assert texts(loaded.validation[0])[1] == [" [1, 2]"] and loaded.validation[0].answers == ("[1, 2]",)


@pytest.mark.parametrize("path", ["t.jsonl", "t.parquet"])
def test_what_objects_hold_is_named_with_a_dot(path: str) -> None:
    rows = [{"q": "x?", "answers": {"text": ["one", "two"], "start": [1, 2]}}] * 2
    keys: dict[str, Any] = {"kind": "generation", "target": "{answers.text}\n", "answers": "answers.text"}
    loaded = choose(rows, path, **keys)
    assert texts(loaded.validation[0])[1] == [" one\n"] and loaded.validation[0].answers == ("one", "two")
    wrong = {**OWN, **keys, "target": "{answers.test}", "answers": "answers.test", "train": path, "validation": path}
    assert refused(Bytes(), **wrong).endswith(
        " 1: column 'answers.test' is not in 'answers' (it holds text, start); did you mean 'text'?"
    )
    write(path, [{"q": "x?", "answers": {"text": [], "start": []}}, rows[0]])
    empty = {**OWN, **keys, "train": path, "validation": path}
    assert refused(Bytes(), **empty).endswith(" 1: column 'answers.text' has no text; mend or remove the row")
