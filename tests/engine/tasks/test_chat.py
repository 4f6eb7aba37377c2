"""Conversations: what the chat template writes is what is scored, and the assistant's turns are what is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.tasks.objective import loss
from tests.engine.tasks.small_tasks import load, refused, write
from tests.engine.tasks.trained import trained

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# It writes an empty thought before the last turn alone, trims, begins with the BOS token, and wants turns in order.
THINKING = (
    "{{ bos_token }}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}[{{ m.role }}] "
    "{% if m.role == 'assistant' and loop.last %}<think></think>{% endif %}{{ m.content | trim }}"
    "{% if m.role == 'assistant' %}</s>{% endif %}{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
)
TALK = [
    {"role": "system", "content": "be good"},
    {"role": "user", "content": "was it great?"},
    {"role": "assistant", "content": "it was"},
    {"role": "user", "content": "and it?"},
    {"role": "assistant", "content": "good, it was bad"},
    {"role": "user", "content": "bad"},
]
KEYS: dict[str, Any] = {"name": None, "messages": "messages"}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def conversation(turns: Any = TALK, template: str = CHATML, **keys: Any) -> tuple[Any, Any]:
    write(keys.pop("path", "train.jsonl"), [{"messages": turns}, {"messages": TALK[1:3]}])
    tokenizer = trained("byte-level", chat_template=template)
    loaded = load(tokenizer, **{**KEYS, "max_length": 500, **keys})
    return loaded.train[0], tokenizer


def learned(example: Any, tokenizer: Any) -> list[str]:
    (option,) = example.options
    spans = example.counted or ((0, len(option)),)
    return [tokenizer.decode(list(option[begin:end])) for begin, end in spans]


@pytest.mark.parametrize("path", ["train.jsonl", "train.json", "train.parquet"])
def test_every_turn_of_the_assistant_is_learned_and_nothing_else(path: str) -> None:
    example, tokenizer = conversation(path=path, train=path, validation=path)
    whole = tokenizer.apply_chat_template(TALK, tokenize=False)
    written = tokenizer(whole, add_special_tokens=False)["input_ids"]
    ids = [*example.prompt, *example.options[0]]
    assert ids == written[: len(ids)]  # as the template has it, up to the last that is learned
    assert learned(example, tokenizer) == ["it was<|im_end|>", "good, it was bad<|im_end|>"]
    assert tokenizer.decode(list(example.prompt)).endswith("<|im_start|>assistant\n")
    assert [len(example.scored(0)), len(example.options[0])] == [
        sum(end - begin for begin, end in example.counted),
        example.counted[-1][1],
    ]


@pytest.mark.parametrize("said", ["d", "end", "im_end"])
def test_what_ends_a_turn_is_learned_whatever_the_turn_says(said: str) -> None:
    turns = [{"role": "user", "content": "so?"}, {"role": "assistant", "content": said}]
    example, tokenizer = conversation(turns)
    assert learned(example, tokenizer) == [f"{said}<|im_end|>"]


def test_a_single_turn_is_an_option_as_any_other() -> None:
    example, tokenizer = conversation(TALK[1:3])
    assert example.counted == () and learned(example, tokenizer) == ["it was<|im_end|>"]


def test_a_template_that_writes_the_last_turn_otherwise_and_a_bos_token_that_is_not_doubled() -> None:
    example, tokenizer = conversation(TALK[1:5], THINKING)
    assert learned(example, tokenizer) == [" it was</s>", "<think></think>good, it was bad</s>"]
    assert list(example.prompt[:2]).count(tokenizer.bos_token_id) == 1
    assert example.prompt[0] == tokenizer.bos_token_id


def test_special_tokens_that_a_turn_says_are_text() -> None:
    turns = [TALK[1], {"role": "assistant", "content": "so<|im_end|>bad"}]
    example, tokenizer = conversation(turns)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert example.options[0].count(end) == 1 and example.options[0][-1] == end
    assert learned(example, tokenizer) == ["so<|im_end|>bad<|im_end|>"]


def test_the_loss_is_over_the_tokens_that_count() -> None:
    example, _ = conversation()
    tokens = len(example.scored(0))
    assert tokens < len(example.options[0])
    assert loss("lm", [example], [[-2.0 * tokens]]) == 2.0


def test_what_is_too_long_is_cut_at_its_end() -> None:
    whole, tokenizer = conversation()
    before = len(whole.prompt) + whole.counted[1][0]
    cut, _ = conversation(max_length=before + 1, too_long="truncate")
    assert cut.counted == (whole.counted[0], (whole.counted[1][0], whole.counted[1][0] + 1))
    assert cut.length == before + 1
    first, _ = conversation(max_length=before, too_long="truncate")
    assert first.counted == whole.counted[:1] and learned(first, tokenizer) == ["it was<|im_end|>"]
    write("train.jsonl", [{"messages": TALK}] * 2)
    chat = trained("byte-level", chat_template=CHATML)
    assert refused(chat, **KEYS, max_length=5, too_long="truncate") == (
        "train.jsonl: line 1: no token that is learned is among the first 5; set task.too_long=skip"
    )


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([TALK[1]], "no turn is the assistant's, of which alone is learned; mend or remove the row"),
        ([], "column 'messages' holds no message; mend or remove the row"),
        (None, "column 'messages' holds no message; mend or remove the row"),
        ("hello", "column 'messages' is text, no conversation; write a list of {role, content}"),
        ({"role": "user"}, "column 'messages' is an object, no conversation; write a list of {role, content}"),
        (["hello"], "column 'messages' is a list of other things than {role, content}; mend or remove the row"),
        ([{"role": "user"}], "column 'messages' has a message without a text as content; mend or remove the row"),
        ([TALK[1], {"role": "assistant", "content": " "}], "a turn of the assistant is empty; mend or remove the row"),
        (
            [TALK[1], TALK[1], TALK[2]],
            "the model's chat template refuses the conversation (roles must alternate); mend or remove the row",
        ),
    ],
)
def test_a_bad_conversation_is_named(turns: Any, message: str) -> None:
    write("train.jsonl", [{"messages": turns}, {"messages": TALK[1:3]}])
    tokenizer = trained("byte-level", chat_template=THINKING)
    assert refused(tokenizer, **KEYS, max_length=500) == f"train.jsonl: line 1: {message}"


def test_a_template_that_changes_what_is_said_is_refused() -> None:
    write("train.jsonl", [{"messages": TALK}] * 2)
    tokenizer = trained("byte-level", chat_template=CHATML.replace("m.content", "m.content | upper"))
    assert refused(tokenizer, **KEYS, max_length=500) == (
        "train.jsonl: line 1: the model's chat template changes or leaves out what the system says, so what is learned "
        "cannot be told; mend or remove it"
    )


def test_a_model_without_a_chat_template_is_refused() -> None:
    write("train.jsonl", [{"messages": TALK}] * 2)
    assert refused(trained("byte-level"), **KEYS).startswith("task.messages: this model's tokenizer has no chat templ")
