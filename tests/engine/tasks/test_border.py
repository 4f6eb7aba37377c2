"""An option that is tokenised once has the tokens that it has behind every prompt, whatever the tokenizer."""

import random
from pathlib import Path
from typing import Any

import pytest

from engine.tasks.border import Border
from engine.tasks.example import Example
from engine.tasks.split_pattern import never_crosses, takes_spaces
from engine.tasks.template import Filled
from engine.tasks.tokenize import Encoder, Raw, encode
from tests.engine.tasks.trained import KINDS, trained

CERTAIN = {
    "byte-level", "byte-level-prefix", "llama-3", "digits-byte-level", "metaspace-bpe", "unigram", "wordpiece",
    "wordlevel", "bare-bpe-apart",
}  # fmt: skip
PIECES = [
    "film", "The", " ", "  ", "\n", "\t", "don't", "'", "s", "1", "23", "...", "\u4f60\u597d", "\uff1a", "caf\u00e9",
    "e\u0301", "\u00b4", "\u0600", "\u200d", "\u200b", "\u2581", "\u0120", "\u00a0", "\x07", "\U0001f600",
    "\U0001f468\u200d", "<think>", "<mask>", "New", "_", "-", "(", "\u0130", "\u3000", "a", "ting", "<", "|",
]  # fmt: skip
OPTIONS = [
    "great",
    "terrible",
    "not bad",
    "'s",
    "1",
    "12",
    ".",
    "\u597d",
    "\u00e9t\u00e9",
    "\u0301x",
    "New  York",
    "york",
    "ing\tly",
]


def examples(raw: list[Raw], tokenizer: Any) -> list[Example]:
    return encode(raw, Encoder(tokenizer), max_length=9999, too_long="refuse", name="", notes=[])


def prompts(count: int = 400) -> list[str]:
    draw = random.Random(0)
    return ["w" + "".join(draw.choices(PIECES, k=draw.randint(1, 8))) for _ in range(count)]


def both_ways(tokenizer: Any, options: list[str]) -> tuple[list[Example], list[Example]]:
    """Random prompts with the same options: those may be tokenised once, or are behind every prompt."""
    filled = [Filled(option) for option in options]
    raw = [Raw("row", Filled(prompt), filled, 0) for prompt in prompts()]
    return examples(raw, tokenizer), [example for one in raw for example in examples([one], _Plain(tokenizer))]


class _Plain:
    """The same tokenizer, of which nothing is known."""

    is_fast = False

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.bos_token_id, self.added_tokens_decoder = tokenizer.bos_token_id, tokenizer.added_tokens_decoder
        self.all_special_tokens = tokenizer.all_special_tokens

    def __call__(self, texts: Any, **settings: Any) -> Any:
        return self._tokenizer(texts, **settings)

    def decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids))


def distinct(tokenizer: Any) -> list[str]:
    """Those of the options that it can tell apart."""
    seen: dict[tuple[int, ...], str] = {}
    for option in OPTIONS:
        ids = tokenizer(f"w {option}", add_special_tokens=False)["input_ids"]
        seen.setdefault(tuple(i for i in ids if i != tokenizer.unk_token_id), option)
    return list(seen.values())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_tokenizer_gives_what_it_gives_behind_every_prompt(kind: str) -> None:
    tokenizer = trained(kind)
    together, apart = both_ways(tokenizer, distinct(tokenizer))
    assert together == apart


@pytest.mark.parametrize("kind", sorted(CERTAIN))
def test_every_option_behind_every_prompt_that_ends_well(kind: str) -> None:
    tokenizer = trained(kind)
    border = Border(tokenizer)
    ending = [prompt for prompt in prompts() if border.ends(prompt)]
    assert border.allows(OPTIONS) and 100 < len(ending) < 350

    def ids(texts: list[str]) -> list[list[int]]:
        return tokenizer(texts, add_special_tokens=False)["input_ids"]

    known: list[list[int]] = []
    for prompt, bare in zip(ending, ids(ending), strict=True):
        fulls = ids([f"{prompt} {option}" for option in OPTIONS])
        assert all(full[: len(bare)] == bare for full in fulls)
        known = known or [full[len(bare) :] for full in fulls]
        assert [full[len(bare) :] for full in fulls] == known, prompt


@pytest.mark.parametrize("kind", KINDS)
def test_where_it_is_certain(kind: str) -> None:
    border = Border(trained(kind))
    assert border.allows(["great", "not bad"]) == (kind in CERTAIN)
    if kind in CERTAIN:
        assert not border.allows(["great", "a<think>"])
        assert border.ends("It was") and border.ends("It was:")
        assert not any(
            map(border.ends, ("", "It was\n", "It was<think>", "It was<mask>", "It was\u2581", "It was\u0301"))
        )


def test_of_a_real_one(shared: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(shared / "models/tiny-opt"))
    together, apart = both_ways(tokenizer, OPTIONS)
    assert together == apart
    once = {id(example.options) for example in together}
    assert Border(tokenizer).allows(OPTIONS) and len(once) < len(together) / 2


def test_what_was_concluded_is_seen_to_hold_or_given_up() -> None:
    """A tokenizer may be more than its parts say."""
    tokenizer = trained("byte-level")

    class More(type(tokenizer)):  # type: ignore[misc]
        def __call__(self, texts: Any, **settings: Any) -> Any:
            changed = [text.replace("odd. great", "odd.great") for text in texts] if isinstance(texts, list) else texts
            return super().__call__(changed, **settings)

    tokenizer.__class__ = More
    options = [Filled("bad"), Filled("great"), Filled("good")]
    prompts = ["a film.", "one odd."] * 3
    together = examples([Raw("row", Filled(prompt), options, 0) for prompt in prompts], tokenizer)
    assert together == [
        example for prompt in prompts for example in examples([Raw("row", Filled(prompt), options, 0)], tokenizer)
    ]


GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SAFE = [
    GPT_2,
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"\p{N}{1,3}",
    r"\s+$",
    r"[\p{Han}]++|\s",
]
CROSSING = [
    r"\w+ ?|\s+",
    r"\w+\s*",
    r".+",
    r"\S+(?= )|\s+",
    r"\w+$|\s+",
    r"\p{L}+(?: \p{L}+)*",
    r"[^\r\n]+",
    r"[a-z ]+",
    r"[!-~\s]+",
    r"[\x00-z]+",
    r"\b\w+|\s+",
    r"(?<=a)b|\s+",
    r"\s?|x",
    r"a\P{L}|\s+",
    r"(\w+) \1",
    r"[[a-z]&&[^b]]+|\s+",
    r"|\s+",
]


@pytest.mark.parametrize("pattern", SAFE)
def test_patterns_that_cannot_cross(pattern: str) -> None:
    assert never_crosses(pattern)


@pytest.mark.parametrize("pattern", CROSSING)
def test_patterns_that_can_or_that_are_not_understood(pattern: str) -> None:
    assert not never_crosses(pattern)


def test_patterns_that_take_every_space() -> None:
    assert takes_spaces(GPT_2) and takes_spaces(r"a|\s")
    assert not any(map(takes_spaces, (r"\p{N}{1,3}", r"(a|\s+)", r"[|\s+|]")))
