"""Special tokens: in the data they are text, in a template they are meant, and BOS is put there once."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.tasks.load import Task
from engine.tasks.special import Specials
from engine.tasks.template import Filled, Template
from engine.tasks.tokenize import Encoder
from tests.engine.tasks.small_tasks import load, write
from tests.engine.tasks.trained import KINDS, SPECIAL, trained

ROWS = [{"text": "<s>old</s> <pad> price", "label": 1}, {"text": "was good", "label": 0}]
KEYS: dict[str, Any] = {"name": None, "template": "{text} It was", "label": "label"}
VERBALIZER = {"0": "bad", "1": "good"}


@pytest.fixture(autouse=True)
def _home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def filled(template: str, **row: str) -> Filled:
    return Template("t", template, varies=False).fill(row, "row 1")


def read(tokenizer: Any, **keys: Any) -> Task:
    write("train.jsonl", ROWS)
    return load(tokenizer, **KEYS | {"verbalizer": VERBALIZER} | keys)


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_value_they_are_text(kind: str) -> None:
    tokenizer = trained(kind)
    special = set(tokenizer.convert_tokens_to_ids(SPECIAL)) - {tokenizer.unk_token_id}
    encoder = Encoder(tokenizer, bos=False)
    ids, plain = encoder([filled("{text} It was", text=f"a {token}") for token in ("<|im_end|>", "good")])
    assert special.isdisjoint(ids)
    assert ids[-2:] == plain[-2:]
    (meant,) = encoder([filled("<|im_start|>{text}<|im_end|>", text="<s>")])
    start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    assert (meant[0], meant[-1]) == (start, end) and special.isdisjoint(meant[1:-1])
    assert meant[1:-1]


def test_they_are_split_and_merged_as_any_text_is() -> None:
    """With `&lt;` for `<` nothing is special; byte-level tokens of the two differ in that piece alone."""
    tokenizer = trained("byte-level")
    bare = trained("byte-level").backend_tokenizer
    encoder = Encoder(tokenizer, bos=False)
    for text in ("x</s>y", "</s>", "a </s> b", "<<s>>", "</s></s>good"):
        (ids,) = encoder([filled("{text}", text=text)])
        bare.encode_special_tokens = True
        assert ids == bare.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids) == text


def test_a_token_that_a_value_only_completes_is_text() -> None:
    tokenizer = trained("byte-level")
    encoder = Encoder(tokenizer, bos=False)
    for text in (filled("<{text}", text="s>"), filled("{text}s>", text="<"), filled("{a}{b}", a="<", b="s>")):
        (ids,) = encoder([text])
        assert tokenizer.bos_token_id not in ids and tokenizer.decode(ids) == "<s>"


def test_text_that_has_the_letters_of_the_new_names() -> None:
    tokenizer = trained("byte-level")
    text = "\U00010c00\U00010c000\U00010c01 </s> \U00010c000\U00010c01"
    (ids,) = Encoder(tokenizer, bos=False)([filled("<|im_end|>{text}", text=text)])
    assert tokenizer.decode(ids) == f"<|im_end|>{text}"
    assert ids.count(tokenizer.eos_token_id) == 0


def test_added_words_that_are_not_special_stay_tokens() -> None:
    tokenizer = trained("byte-level")
    (ids,) = Encoder(tokenizer, bos=False)([filled("{text}", text="a <think> b </s>")])
    assert tokenizer.convert_tokens_to_ids("<think>") in ids and tokenizer.eos_token_id not in ids


def test_a_tokenizer_in_python() -> None:
    from transformers import ByT5Tokenizer

    tokenizer = ByT5Tokenizer()
    (ids,) = Encoder(tokenizer, bos=False)([filled("</s>{text}.", text="a</s>")])
    assert ids[0] == tokenizer.eos_token_id and tokenizer.eos_token_id not in ids[1:]
    assert tokenizer.decode(ids[1:]) == "a</s>."


def test_the_log_says_how_many_and_which() -> None:
    loaded = read(trained("byte-level"))
    line = (
        "train.jsonl: 1 of 2 examples hold the text of special tokens (<s>, </s>, <pad>): in a column's value it is "
        "text, no token"
    )
    assert loaded.notes.count(line) == 1  # though the file is both splits
    assert trained("byte-level").decode(loaded.train[0].prompt) == "<s><s>old</s> <pad> price It was"


def test_a_text_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Filled] = []

    def inside(self: Specials, text: Filled) -> list[str]:
        looked.append(text)
        return look(self, text)

    look = Specials.inside
    monkeypatch.setattr(Specials, "inside", inside)
    write("validation.jsonl", [{"text": f"{row['text']}!", "label": 1} for row in ROWS])
    read(trained("byte-level"), validation="validation.jsonl")
    times = Counter(id(text) for text in looked if text.data)  # alive, all of them
    assert len(times) > 4 and set(times.values()) == {1}


def test_targets_are_data_too() -> None:
    tokenizer = trained("byte-level")
    write("train.jsonl", [{"q": "good?", "a": "was</s>good"}])
    loaded = load(tokenizer, name=None, template="{q}", target="{a}<|im_end|>")
    (option,) = loaded.train[0].options
    assert tokenizer.eos_token_id not in option
    assert tokenizer.decode(option) == " was</s>good<|im_end|>" and option[-1] == SPECIAL.index("<|im_end|>")


def test_a_template_that_begins_with_bos_gets_no_second_one() -> None:
    tokenizer = trained("byte-level")
    loaded = read(tokenizer, template="<s>{text} It was")
    assert loaded.train == read(tokenizer).train
    assert loaded.notes[0] == "task.template begins with the tokenizer's BOS token, <s>: no other is put there"
    assert read(tokenizer, template=" \n<s>{text} It was").train == loaded.train
    never = read(tokenizer, template="<s>{text} It was", bos="never")
    assert never.train == loaded.train and "BOS" not in never.notes[0]
    assert [e.prompt[:3] for e in read(tokenizer, template="<s><s>{text}").train][1][:2] == (0, 0)
    assert read(tokenizer, template="{text} <s> It was").train[1].prompt.count(0) == 2


def test_a_tokenizer_that_puts_bos_there_itself() -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = trained("byte-level")
    plain = read(tokenizer).train
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    for bos in ("auto", "never"):
        assert read(tokenizer, bos=bos).train == plain
        assert read(tokenizer, bos=bos, template="<s>{text} It was").train == plain


def test_a_run_that_began_by_the_first_rules_goes_on_by_them() -> None:
    tokenizer = trained("byte-level")
    (ids,) = Encoder(tokenizer, rules=1)([filled("<s>{text}", text="</s>")])
    assert ids == [0, 0, 1]
    (ids,) = Encoder(tokenizer)([filled("<s>{text}", text="</s>")])
    assert ids[0] == 0 and not {0, 1} & set(ids[1:])


def test_a_copy_that_cannot_be_made_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from tokenizers import pre_tokenizers

    class Own:
        def pre_tokenize(self, text: Any) -> None:
            return None

    tokenizer = trained("byte-level")
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(Own())
    with pytest.raises(UserError, match="cannot be told to take it for text; write it otherwise there"):
        Encoder(tokenizer)([filled("{text}", text="</s>")])
