"""JSON Lines and JSON: numbers as they are written, and what is no row."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.preset.task import Task
from engine.tasks.load import check_sources
from tests.engine.tasks.small_tasks import prompts, refused, unchecked

KEYS: dict[str, Any] = {"template": "{text}", "name": None, "label": "label", "verbalizer": {"0": "no", "1": "yes"}}


@pytest.fixture(autouse=True)
def _folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def file(name: str, content: str | bytes) -> str:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def message(name: str, content: str | bytes) -> str:
    return refused(**{**KEYS, "train": file(name, content), "validation": name})


NUMBERS = ["2024", "1.50", "1e5", "-0", "1E+400", "0.1000000000000000055", "9" * 5000, "true", "false", "NaN"]


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson", "t.json"])
def test_numbers_and_truth_values_are_the_characters_in_the_file(name: str) -> None:
    texts = ["007", "true", "2024-01-01T00:00:00", "null"]
    rows = [f'{{"text": {value}, "label": 1}}' for value in [*NUMBERS, *(json.dumps(text) for text in texts)]]
    content = "\n".join(rows) if name != "t.json" else f"[{','.join(rows)}]"
    assert prompts(file(name, content)) == [*NUMBERS, *texts]


def test_columns_that_nobody_uses_may_hold_anything() -> None:
    odd = ['"x"', "7", "[]", '{"a": [{"b": null}]}', '"\\ud800"', '{"a": 1, "a": 2}']
    rows = [f'{{"text": "a", "label": 1, "odd": {value}, "odd": {value}}}' for value in odd]
    assert prompts(file("t.jsonl", "\n".join(rows))) == ["a"] * len(odd)
    assert prompts(file("t.json", f"[{','.join(rows)}]")) == ["a"] * len(odd)
    assert prompts(file("t.jsonl", b'{"text": "a", "label": 1, "odd": "\xe9"}')) == ["a"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ('{"body": "good"}', "is an object, no text; name a column of text, or write one from it"),
        ('["good"]', "is a list, no text; name a column of text, or write one from it"),
        ('"a\\ud83d"', "holds half a character (\\ud83d, character 2); mend or remove the row"),
        ('"a", "text": "b"', "is there twice; remove one"),
        ("null", "has no text; mend or remove the row"),
    ],
)
def test_values_that_are_no_text(value: str, why: str) -> None:
    rows = ['{"text": "a", "label": 1}', f'{{"text": {value}, "label": 0}}']
    assert message("t.jsonl", f"{rows[0]}\n\n{rows[1]}\n") == f"t.jsonl: line 3: column 'text' {why}"
    assert message("t.json", f"[{','.join(rows)}]") == f"t.json: row 2: column 'text' {why}"


def test_bytes_that_are_not_utf_8() -> None:
    content = '{"text": "fine", "label": 1}\n{"text": "café", "label": 1}\n'.encode("latin-1")
    assert message("t.jsonl", content) == (
        "t.jsonl: line 2: column 'text' holds a byte that is not UTF-8 (0xe9, character 4); save the file as UTF-8"
    )


def test_marks_line_ends_and_blank_lines() -> None:
    texts = ["a\u2028b\u2029c\u0085d", "e\ufefff", "g\r\nh\0"]
    lines = [json.dumps({"text": text, "label": 1}, ensure_ascii=escaped) for text in texts for escaped in (0, 1)]
    wanted = [text for text in texts for _ in range(2)]
    for end in ("\n", "\r\n", "\r"):
        for last in ("", end, end + " " + end):
            content = lines[0] + end * 2 + end.join(lines[1:]) + last
            assert prompts(file("t.jsonl", content)) == wanted
            assert prompts(file("t.jsonl", "\ufeff" + content)) == wanted
            assert prompts(file("t.json", "\ufeff" + content)) == wanted
    assert prompts(file("t.jsonl", f"\ufeff{lines[0]}\n\ufeff{lines[0]}\n")) == [texts[0]] * 2


def test_lines_that_are_no_object() -> None:
    good = '{"text": "a", "label": 1}'
    assert message("t.jsonl", f"[{good}]") == "t.jsonl: line 1 is not an object; write one object per line"
    assert message("t.jsonl", f"{good}\n\0\0\0") == (
        "t.jsonl: line 2 is not JSON (a NUL byte, character 1); write one object per line"
    )
    assert message("t.jsonl", f"{good} {good}") == (
        "t.jsonl: line 1 is not JSON (Extra data, character 27); write one object per line"
    )
    deep = f'{{"text": "a", "label": 1, "x": {"[" * 10**5}{"]" * 10**5}}}'
    assert message("t.jsonl", deep) == "t.jsonl: line 1 is nested too deeply to be read"
    assert "no column 'text' in t.jsonl (it has )" in message("t.jsonl", "{}\n{}\n")
    assert check_sources(Task(name="sst2", train="t.jsonl", validation="t.jsonl")) is None  # {} says nothing
    file("t.jsonl", "\n\n")
    assert unchecked(train="t.jsonl") == "t.jsonl: has no rows; task.train needs at least one"


def test_a_column_that_comes_late_is_not_said_to_be_missing() -> None:
    rows = ['{"text": "a"}'] * 99
    keys = {**KEYS, "train": "t.jsonl", "validation": "t.jsonl"}
    file("t.jsonl", "\n".join(rows))
    assert unchecked(**keys) == "task.label: no column 'label' in t.jsonl (it has text)"  # all of the file was seen
    file("t.jsonl", "\n".join([*rows, *rows, '{"text": "b", "label": 1}']))
    assert check_sources(Task(**keys)) is None
    assert refused(**keys) == "t.jsonl: line 1: column 'label' has no label; mend or remove the row"


@pytest.mark.parametrize(
    "content",
    [
        '[{"text": "a", "label": 1}]',
        ' \n[\n{"text": "a",\n"label": 1}\n]\n',
        '{"version": 1, "data": [{"text": "a", "label": 1}]}',
        '{"rows": [{"text": "a", "label": 1}], "none": [], "of": {"x": 1}}',
        '{"text": "a", "label": 1, "turns": [{"x": 1}]}',
        '{"label": "sentiment", "data": [{"text": "a", "label": 1}]}',
        '{"splits": [{"name": "train"}], "data": [{"text": "a", "label": 1}], "text": "of a paper"}',
    ],
)
def test_forms_of_a_json_file(content: str) -> None:
    assert prompts(file("t.json", content)) == ["a"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("5", "t.json: is no list of objects; write [{...}, {...}]"),
        ('["a"]', "t.json: row 1 is not an object; write [{...}, {...}]"),
        ("[]", "t.json: has no rows; task.train needs at least one"),
        (" \n", "t.json: has no rows; task.train needs at least one"),
        (
            '{"train": [{"text": "a"}], "dev": [{"text": "b"}]}',
            "task.template: no column 'text' in t.json (it has train, dev)",
        ),
        (
            '{"train": [{"text": "a", "label": 1}], "dev": [{"text": "b", "label": 1}], "label": 1}',
            "task.template: no column 'text' in t.json (it has train, dev, label)",
        ),
        (
            '{"label": "sentiment", "data": [{"text": "a"}]}',
            "task.label: no column 'label' in t.json (it has text)",
        ),
        ('{"data": [{"text": "a", "label": 1}, 5]}', "t.json: row 2 is not an object; write [{...}, {...}]"),
        ("[{}, {}]", "task.template: no column 'text' in t.json (it has )"),
        (
            '{"text": {"0": "a"}, "label": {"0": 1}}',
            "t.json: holds columns, not rows; write a list of objects: [{...}, {...}]",
        ),
        ('[{"text": "a",\n"label": 1},\n]', "t.json: line 3 is not JSON (Expecting value); mend it there"),
        ('[{"text": "a"\n"label": 1}]', "t.json: line 2 is not JSON (Expecting ',' delimiter); mend it there"),
        ('[{"text": "a"}\n{"text": "b"}]', "t.json: line 2 is not JSON (Expecting ',' or ']'); mend it there"),
        ('[{"text": "a"}', "t.json: line 1 is not JSON (the list does not end); mend it there"),
        ('[{"text": "a"}]\n\n!', "t.json: line 3 is not JSON (more after the list); mend it there"),
    ],
)
def test_what_is_no_list_of_objects(content: str, why: str) -> None:
    assert message("t.json", content) == why


def test_a_list_is_the_same_in_whatever_parts_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[dict[str, Any]] = [
        {"text": f'{"x" * n}😀"\\\n{n}', "label": n % 2, "odd": [None, True, -1.5e-7, {"a": ""}]} for n in range(20)
    ]
    name = file("t.json", "\ufeff " + json.dumps(rows, indent=3) + "\n")
    broken = json.dumps(rows, indent=0).replace('"label": 1', '"label" 1', 1)
    found = {message("u.json", broken)}
    for size in range(1, 40):
        monkeypatch.setattr("engine.tasks.files.json_list._CHUNK", size)
        assert prompts(name) == [row["text"] for row in rows]
        found.add(message("u.json", broken))
    line = broken[: broken.index('"label" 1')].count("\n") + 1
    assert found == {f"u.json: line {line} is not JSON (Expecting ':' delimiter); mend it there"}
