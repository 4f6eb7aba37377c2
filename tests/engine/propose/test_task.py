"""What is made of the columns of a file."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import UserError
from engine.propose.task import Proposed, propose

N = range(30)
WORDS = [("good", "bad")[i % 2] for i in N]
TEXTS = [f"film {i}" for i in N]
TURNS = [[{"role": "user", "content": "hi"}, {"role": "assistant", "content": f"{i}"}] for i in N]


def of(given: dict[str, Any] | None = None, **columns: list[Any]) -> Proposed:
    return propose(columns, given or {})


def test_labels_that_are_words_stand_for_themselves() -> None:
    found = of(id=[str(i) for i in N], text=TEXTS, sentiment=WORDS)
    assert found.keys == {
        "kind": "classification",
        "template": "{text}\nSentiment:",
        "label": "sentiment",
        "verbalizer": {"bad": "bad", "good": "good"},
    }
    assert found.checks == ["not in the prompt: id"]


def test_labels_that_are_numbers_are_to_be_named() -> None:
    found = of(text=TEXTS, label=[str(i % 3) for i in N])
    assert found.keys["verbalizer"] == {"0": "0", "1": "1", "2": "2"}
    assert "numbers" in found.checks[0] and "--set task.verbalizer.0=TEXT" in found.checks[0]


def test_numbers_of_classes_have_the_names_that_the_file_gives_them() -> None:
    found = propose({"text": TEXTS, "label": [str(i % 2) for i in N]}, {}, {"label": ["no", "yes"]})
    assert found.keys["verbalizer"] == {"0": "no", "1": "yes"} and not found.checks


def test_a_column_that_spells_the_label_is_the_label_and_never_in_the_prompt() -> None:
    found = of(text=TEXTS, label=[str(i % 2) for i in N], label_text=WORDS)
    assert found.keys["label"] == "label_text"
    assert found.keys["template"] == "{text}\nLabel text:"


def test_choices_in_columns_and_in_lists() -> None:
    found = of(premise=TEXTS, choice1=TEXTS, choice2=[f"{t}!" for t in TEXTS], label=[str(i % 2) for i in N])
    assert found.keys["choices"] == ["{choice1}", "{choice2}"] and found.keys["label"] == "label"
    found = of(question=TEXTS, options=[[f"a{i}", f"b{i}"] for i in N], answer=[f"b{i}" for i in N])
    assert found.keys["choices"] == ["{options}"] and found.keys["answers"] == "answer"
    assert found.keys["template"] == "Question: {question}\nAnswer:"
    found = of(question=TEXTS, A=TEXTS, B=WORDS, answer=["AB"[i % 2] for i in N])
    assert found.keys["choices"] == ["{A}", "{B}"]


def test_two_sentences_are_no_choices() -> None:
    twos = {"sentence1": TEXTS, "sentence2": [f"{t}!" for t in TEXTS], "label": [str(i % 2) for i in N]}
    assert of(title=TEXTS, **twos).keys["kind"] == "classification"
    assert of(**twos).keys["template"] == "Sentence 1: {sentence1}\nSentence 2: {sentence2}\nLabel:"


def test_tags_are_no_choices() -> None:
    found = of(text=TEXTS, tags=[["a", f"b{i}"] for i in N], label=[str(i % 2) for i in N])
    assert found.keys["kind"] == "classification" and "not in the prompt: tags" in found.checks


def test_choices_that_are_counted_from_one_are_refused() -> None:
    with pytest.raises(UserError, match="'answer' counts the choices from 1; write their numbers from 0"):
        of(sentence=TEXTS, option1=TEXTS, option2=WORDS, answer=[str(1 + i % 2) for i in N])


def test_answers_are_generated() -> None:
    found = of(question=TEXTS, answer=[f"so {i}" for i in N])
    assert found.keys == {
        "kind": "generation", "template": "Question: {question}\nAnswer:", "target": "{answer}\n",
    }  # fmt: skip
    assert of(prompt=TEXTS, completion=["a\nb" + t for t in TEXTS]).keys["end"] == "eos"
    found = of(context=TEXTS, question=TEXTS, answers=[{"text": [f"x{i}"], "answer_start": ["3"]} for i in N])
    assert found.keys["target"] == "{answers.text}\n" and found.keys["answers"] == "answers.text"
    assert found.keys["template"] == "Context: {context}\nQuestion: {question}\nAnswer:"


def test_an_input_that_is_empty_in_some_rows_has_no_heading() -> None:
    found = of(instruction=TEXTS, input=["" if i % 2 else "loud" for i in N], output=[f"{i}!" for i in N])
    assert found.keys["template"] == "Instruction: {instruction}\n{input}\nOutput:"


def test_conversations_and_texts() -> None:
    assert of(id=TEXTS, messages=TURNS).keys == {"kind": "text", "messages": "messages"}
    assert of(text=TEXTS).keys == {"kind": "text", "target": "{text}"}


def test_what_is_decided_is_not_proposed() -> None:
    columns: dict[str, Any] = {"text": TEXTS, "topic": WORDS, "label": [str(i % 3) for i in N]}
    assert of({"label": "topic"}, **columns).keys["verbalizer"] == {"bad": "bad", "good": "good"}
    assert of({"kind": "text"}, **columns).keys["target"] == "{text}"
    assert "target" not in of({"target": "{topic}"}, **columns).keys
    with pytest.raises(UserError, match=r"task.label: no column 'labl' \(it has text, topic, label\)"):
        of({"label": "labl"}, **columns)


def test_columns_of_which_nothing_can_be_made() -> None:
    numbers = [str(i) for i in N]
    with pytest.raises(UserError, match=r"nothing can be made of its columns \(a, b\): it takes a text with a label"):
        of(a=numbers, b=numbers)
    with pytest.raises(UserError, match="'conversations' says from and value"):
        of(conversations=[[{"from": "human", "value": "hi"}]] * 3)
    with pytest.raises(UserError, match="'text' has no value in 1 of 30 rows"):
        of(text=[None, *TEXTS[1:]], label=WORDS)
