"""What is said of odd data: classes, what is in both splits, options that cannot be told apart, ends of targets."""

from pathlib import Path
from typing import Any

import pytest

from engine.tasks.load import Task, _same
from engine.tasks.sources import parse
from tests.engine.tasks.small_tasks import Words, load, refused, write
from tests.engine.tasks.trained import trained

THREE: dict[str, Any] = {"name": None, "template": "{text} It was", "label": "label"}
VERBALIZER = {"a": "bad", "b": "so-so", "c": "good"}


@pytest.fixture(autouse=True)
def _home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def of(train: str, held_out: str, verbalizer: dict[str, str] = VERBALIZER, *, same: int = 0, **keys: Any) -> Task:
    """A task with rows of these labels, a letter each; `same` of the validation rows are train's."""
    write("train.jsonl", [{"text": f"film {i}", "label": label} for i, label in enumerate(train)])
    begin = len(train) - same
    rows = [{"text": f"film {begin + i}", "label": label} for i, label in enumerate(held_out)]
    write("validation.jsonl", rows)
    return load(**THREE | {"verbalizer": verbalizer, "validation": "validation.jsonl"} | keys)


def test_examples_of_each_class_are_counted_as_they_are_used() -> None:
    loaded = of("aabbbc", "abc")
    assert loaded.warnings == []
    assert loaded.notes == [
        "task.train: examples of each class: a (bad) 2, b (so-so) 3, c (good) 1",
        "task.validation: examples of each class: a (bad) 1, b (so-so) 1, c (good) 1",
    ]
    sampled = of("aabbbc", "abc", train_examples=3)
    counts = [sum(e.label == label for e in sampled.train) for label in range(3)]
    assert sum(counts) == 3
    each = ", ".join(f"{n} {c}" for n, c in zip(("a (bad)", "b (so-so)", "c (good)"), counts, strict=True))
    assert sampled.notes[0] == f"task.train: examples of each class: {each}"


def test_one_class_only_is_a_warning() -> None:
    assert of("aaaa", "aab").warnings == [
        "task.train: all 4 examples are of one class, a (bad), none of the 2 others: a run learns to say it always",
        "task.validation: 1 of 3 classes have no example: c (good)",
    ]
    two = {"a": "bad", "b": "good"}
    assert of("ab", "bb", two).warnings == [
        "task.validation: all 2 examples are of one class, b (good), none of a (bad): an evaluation cannot tell what "
        "was learned"
    ]


def test_many_classes_are_summed_up() -> None:
    letters = "abcdefghijklmnopqrst"
    many = {letter: letter * 2 for letter in letters}
    loaded = of("aaa" + letters[:14], letters[:19], many)
    assert loaded.notes[0] == "task.train: 20 classes of 0 (o (oo)) to 4 (a (aa)) examples"
    assert loaded.warnings == [
        "task.train: 6 of 20 classes have no example: o (oo), p (pp), q (qq), r (rr), s (ss) and 1 more",
        "task.validation: 1 of 20 classes have no example: t (tt)",
    ]


def test_the_same_rows_in_both_splits() -> None:
    assert of("abcabc", "abcabc").warnings == []
    few = of("abcabc", "abcabc", same=2)
    assert few.warnings == [] and few.notes[-1] == "2 of 6 validation examples are trained on as well"
    assert of("abcabc", "abcabc", same=3).warnings == [
        "3 of 6 validation examples are trained on as well: evaluations do not show what is learned beyond them"
    ]
    same = of("abcabc", "abc", validation="./train.jsonl", validation_examples=2, train_examples=3)
    assert same.warnings[-1] == (
        "task.train and task.validation are the same file; 1 of 2 validation examples are trained on as well: "
        "evaluations do not show what is learned beyond them"
    )
    assert not any("trained on" in line for line in of("abcabc", "abc", validation=None).notes)


def test_what_two_splits_are_that_are_one() -> None:
    def of(train: str, validation: str) -> str:
        return _same(parse("task.train", train), parse("task.validation", validation))

    for name in ("a-0.parquet", "a-1.parquet"):
        write(name, [{"text": "x", "label": 0}])
    assert of("a-0.parquet", "./a-0.parquet") == "the same file"
    assert of("a-*.parquet", ".") == "the same files"
    assert of("a/b@train", "a/b@train") == of("a/b:c@d", "a/b:c@d") == "the same split"
    assert of("a/b@train", "a/b@test") == of("a/b:c@d", "a/b:e@d") == of("a-0.parquet", "a-*.parquet") == ""


def test_of_targets_the_same_prompt_may_have_another() -> None:
    write("train.jsonl", [{"q": "say", "a": "x"}, {"q": "say", "a": "y"}])
    write("validation.jsonl", [{"q": "say", "a": "z"}, {"q": "say", "a": "w"}])
    keys: dict[str, Any] = {"name": None, "template": "{q}", "target": "{a}", "validation": "validation.jsonl"}
    assert load(**keys).warnings == load(**keys).notes == []
    write("validation.jsonl", [{"q": "say", "a": "x"}, {"q": "say", "a": "w"}])
    assert len(load(**keys).warnings) == 1


def test_options_of_the_same_tokens_are_refused() -> None:
    tokenizer = trained("wordlevel")
    write("train.jsonl", [{"text": "good film", "label": "c"}] * 2)
    same = {"a": "bad", "b": "\U0001f621", "c": "\U0001f600"}
    assert refused(tokenizer=tokenizer, **THREE, verbalizer=same) == (
        "train.jsonl: line 1: the options '\U0001f621' and '\U0001f600' are the same tokens to this model's "
        "tokenizer ('<unk>'): nothing tells them apart; choose other option texts"
    )
    cased = {"a": "Good", "c": "good"}
    assert "'Good' and 'good'" in refused(tokenizer=tokenizer, **THREE, verbalizer=cased)
    assert len(load(trained("byte-level"), **THREE, verbalizer=same).train) == 2


def test_options_that_only_some_prompts_make_the_same() -> None:
    """Where a tokenizer merges them with the prompt, each example is looked at."""

    class Joining(Words):
        def __call__(self, texts: Any, add_special_tokens: bool = True) -> dict[str, Any]:
            if not isinstance(texts, list) and texts.startswith("odd"):
                texts = texts.replace("so-so", "bad")
            return super().__call__(texts, add_special_tokens)

    write("train.jsonl", [{"text": "film", "label": "a"}, {"text": "odd", "label": "b"}])
    line = refused(tokenizer=Joining(), **THREE, verbalizer=VERBALIZER)
    assert line.startswith("train.jsonl: line 2: the options 'bad' and 'so-so' are the same tokens")


QA: dict[str, Any] = {"name": None, "template": "{q}"}


def answers(tokenizer: Any, **keys: Any) -> list[str]:
    write("train.jsonl", [{"q": "good? ", "a": " it was \n"}, {"q": "bad?", "a": "was</s>"}])
    loaded = load(tokenizer, **QA | keys)
    return [tokenizer.decode(e.options[0]) for e in loaded.train]


def test_a_target_keeps_what_it_ends_in() -> None:
    tokenizer = trained("byte-level")
    assert answers(tokenizer, target="{a}\n") == [" it was\n", " was</s>\n"]
    assert answers(tokenizer, target="\n {a} .\n\n") == [" it was .\n\n", " was</s> .\n\n"]
    write("train.jsonl", [{"q": "good?", "a": " "}])
    assert refused(tokenizer=tokenizer, **QA, target="{a}\n").startswith("train.jsonl: line 1: task.target is empty")


def test_a_target_can_end_in_the_eos_token() -> None:
    tokenizer = trained("byte-level")
    assert answers(tokenizer, target="{a}\n", end="eos") == [" it was\n</s>", " was</s>\n</s>"]
    assert answers(tokenizer, target="{a}</s>", end="eos") == [" it was</s>", " was</s></s>"]  # its own is text
    assert answers(tokenizer, target="{a}", end="none") == answers(tokenizer, target="{a}") == [" it was", " was</s>"]
    long = load(tokenizer, **QA, target="{a}", end="eos", max_length=8, too_long="skip")
    assert all(e.options[0][-1] == tokenizer.eos_token_id for e in long.train)


def test_an_end_that_cannot_be_is_refused() -> None:
    tokenizer = trained("byte-level", eos_token=None)
    write("train.jsonl", [{"q": "good?", "a": "it was", "text": "good", "label": "a"}])
    assert refused(tokenizer=tokenizer, **QA, target="{a}", end="eos") == (
        "task.end: eos, but this model's tokenizer has no EOS token; set task.end to none"
    )
    assert refused(tokenizer=tokenizer, **THREE, verbalizer=VERBALIZER, end="eos") == (
        "task.end: eos is for a target, which the model learns to end; options of a classification are compared as "
        "they are; remove the key"
    )
    load(**THREE, verbalizer=VERBALIZER, end="none")
