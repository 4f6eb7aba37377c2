"""Prompts and options as token ids: special tokens, joints, and what is too long."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.preset.task import Task
from engine.tasks.load import load_task
from engine.tasks.template import Filled
from engine.tasks.tokenize import Encoder
from tests.engine.tasks.small_tasks import ROWS, Words, load, refused, write


@pytest.fixture(autouse=True)
def _home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_special_tokens_stay_at_the_start_and_go_at_the_end() -> None:
    write("train.jsonl", ROWS)
    tokenizer = Words(begin=[1], end=[2])
    example = load(tokenizer).train[0]
    assert Encoder(tokenizer).leading == 1
    assert example.prompt[0] == 1
    assert 2 not in example.prompt
    assert all(len(option) == 1 and option[0] > 2 for option in example.options)


def test_a_begin_token_that_is_also_the_end_token() -> None:
    encoder = Encoder(Words(begin=[2]))
    assert encoder.leading == 1
    assert encoder([Filled("a")])[0][0] == 2
    assert len(encoder([Filled("a")])[0]) == 2


def test_a_begin_token_that_the_tokenizer_leaves_out_is_put_there_unless_told_not_to() -> None:
    write("train.jsonl", LONG)
    tokenizer = Words()
    tokenizer.bos_token_id = 7
    assert load(tokenizer).train[1].prompt[0] == 7
    assert load(tokenizer, max_length=8, too_long="truncate").train[0].prompt[0] == 7
    assert 7 not in load(tokenizer, bos="never").train[1].prompt


def test_a_template_that_ends_in_a_space_still_joins_by_one() -> None:
    write("train.jsonl", ROWS[:1])

    class Letters(Words):
        def __call__(self, texts: Any, add_special_tokens: bool = True) -> dict[str, Any]:
            if isinstance(texts, list):
                return {"input_ids": [list(map(ord, text)) for text in texts]}
            return {"input_ids": list(map(ord, texts))}

    example = load(Letters(), template="{sentence} ").train[0]
    assert "".join(map(chr, example.prompt + example.options[1])) == "film 0 great"


def test_options_that_begin_inside_the_prompts_last_token() -> None:
    write("train.jsonl", ROWS[:1])
    tokenizer = Words(merges="was great")
    loaded = load(tokenizer)
    example = loaded.train[0]
    assert tokenizer.text(example.prompt) == "film 0 It"
    assert [tokenizer.text(option) for option in example.options] == ["was terrible", "was_great"]
    assert loaded.notes[0] == ("train.jsonl: in 1 of 1 examples the options begin inside the prompt's last token")


def test_options_that_share_their_first_token_keep_it() -> None:
    write("train.jsonl", ROWS[:1])
    example = load(verbalizer={"0": "not good", "1": "not bad"}).train[0]
    assert [len(option) for option in example.options] == [2, 2]


LONG = [{"sentence": "a b c d e f g h", "label": 0}, {"sentence": "a", "label": 1}]


def test_too_long_is_refused_with_the_remedy() -> None:
    write("train.jsonl", LONG)
    assert refused(max_length=8) == (
        "train.jsonl: 1 of 2 examples are longer than 8 tokens (longest 11); "
        "set task.too_long=truncate or task.too_long=skip"
    )
    assert len(load(max_length=11).train) == 2


def test_too_long_is_cut_from_the_left_behind_the_begin_token() -> None:
    write("train.jsonl", LONG)
    tokenizer = Words(begin=[1])
    loaded = load(tokenizer, max_length=8, too_long="truncate")
    assert tokenizer.text(loaded.train[0].prompt) == "<1> e f g h It was"
    assert loaded.train[0].length == 8
    assert tokenizer.text(loaded.train[1].prompt) == "<1> a It was"
    assert "1 of 2 examples are longer than 8 tokens (longest 12); their prompts are cut" in loaded.notes[0]


def test_a_target_that_alone_is_too_long_cannot_be_cut() -> None:
    write("train.jsonl", [{"q": "a", "a": "b " * 9}] * 2)
    assert refused(name=None, template="{q}", target="{a}", max_length=8, too_long="truncate") == (
        "train.jsonl: an option or target alone is 9 tokens, more than fit into 8; set task.too_long=skip"
    )


def test_too_long_is_skipped() -> None:
    write("train.jsonl", LONG)
    loaded = load(max_length=8, too_long="skip")
    assert [e.label for e in loaded.train] == [1]
    assert loaded.notes[0].endswith("; they are skipped")
    assert refused(max_length=3, too_long="skip").endswith(", none is left; set task.too_long=truncate")


def test_a_real_tokenizer_on_real_data(shared: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(shared / "models" / "opt-reviews"))
    sst2 = shared / "data" / "sst2"
    told: list[tuple[str, float | None]] = []
    loaded = load_task(
        Task(
            name="sst2",
            train=str(sst2 / "train.jsonl"),
            validation=str(sst2 / "validation.jsonl"),
            train_examples=100,
        ),
        tokenizer,
        seed=0,
        max_length=512,
        report=lambda text, fraction: told.append((text, fraction)),
    )
    assert (len(loaded.train), len(loaded.validation), loaded.warnings) == (100, 872, [])
    assert loaded.notes == [
        "task.train: examples of each class: 0 (terrible) 43, 1 (great) 57",
        "task.validation: examples of each class: 0 (terrible) 428, 1 (great) 444",
    ]
    first = json.loads((sst2 / "validation.jsonl").read_text().splitlines()[0])
    example = loaded.validation[0]
    assert tokenizer.decode(example.prompt) == f"</s>{first['sentence']} It was"
    assert [tokenizer.decode(option) for option in example.options] == [" terrible", " great"]
    assert example.label == first["label"]
    assert told[-1] == ("tokenising validation", 1.0)
