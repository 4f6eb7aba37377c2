"""Small real tokenizers of every kind, trained on the spot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_TEXT = [
    "the film was good and the plot was bad, it was great!",
    "this is a question about my new card: why has it not arrived?",
    "don't you think that it's terrible? we'll see 1234 of them in New York",
    "tabs\tand\n\nlines   and  spaces; \u4f60\u597d\uff0c\u4e16\u754c caf\u00e9 na\u00efve \u00dcber",
    "really_good very-bad (not so bad) <b>bold</b> & [x] it was",
]
SPECIAL = ["<s>", "</s>", "<unk>", "<pad>", "<|im_start|>", "<|im_end|>"]
_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
KINDS = (
    "byte-level", "byte-level-prefix", "llama-3", "digits-byte-level", "metaspace-bpe", "metaspace-first",
    "replaced-bpe", "bare-bpe", "bare-bpe-apart", "unigram", "unigram-whole", "wordpiece", "wordlevel", "odd-pattern",
)  # fmt: skip

_OF_BYTES = ("byte-level", "byte-level-prefix", "llama-3", "digits-byte-level", "odd-pattern")


def trained(kind: str, **settings: Any) -> Any:
    """A tokenizer of `transformers` of this kind, with the special tokens above; `<s>` is its BOS token."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    normalizer, pre_tokenizer = _parts(kind)
    model: Any
    trainer: Any
    common: dict[str, Any] = {"special_tokens": SPECIAL, "show_progress": False}
    if kind.startswith("unigram"):
        model, trainer = models.Unigram(), trainers.UnigramTrainer(vocab_size=150, unk_token="<unk>", **common)
    elif kind == "wordpiece":
        model, trainer = models.WordPiece(unk_token="<unk>"), trainers.WordPieceTrainer(vocab_size=200, **common)
    elif kind == "wordlevel":
        model, trainer = models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(vocab_size=60, **common)
    else:
        alphabet = pre_tokenizers.ByteLevel.alphabet() if kind in _OF_BYTES else []
        trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, **common)
        model = models.BPE(unk_token="<unk>")
    backend = Tokenizer(model)
    if kind in _OF_BYTES:
        backend.decoder = decoders.ByteLevel()
    if normalizer is not None:
        backend.normalizer = normalizer
    if pre_tokenizer is not None:
        backend.pre_tokenizer = pre_tokenizer
    backend.train_from_iterator(_words() if kind == "bare-bpe-apart" else _TEXT * 5, trainer)
    backend.add_tokens([AddedToken("<think>", normalized=False), AddedToken("<mask>", rstrip=True, normalized=False)])
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", **settings}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **tokens)


def _words() -> Iterator[str]:
    """Words one by one, so that no merge holds a space behind a letter."""
    for text in _TEXT * 5:
        yield from (f" {word}" for word in text.split(" "))


def _parts(kind: str) -> tuple[Any, Any]:
    from tokenizers import Regex, normalizers, pre_tokenizers

    split = {"llama-3": _LLAMA_3, "odd-pattern": r"\w+ ?|[^\w\s]+|\s+"}
    if kind in split:
        cut = pre_tokenizers.Split(Regex(split[kind]), "isolated")
        return None, pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    digits = pre_tokenizers.Digits(individual_digits=True)
    return {
        "byte-level": (None, pre_tokenizers.ByteLevel(add_prefix_space=False)),
        "byte-level-prefix": (normalizers.NFC(), pre_tokenizers.ByteLevel(add_prefix_space=True)),
        "digits-byte-level": (
            None,
            pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]),
        ),
        "metaspace-bpe": (None, pre_tokenizers.Metaspace(prepend_scheme="always", split=True)),
        "metaspace-first": (None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False)),
        "replaced-bpe": (
            normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]),
            pre_tokenizers.Split(" ", "merged_with_previous"),
        ),
        "bare-bpe": (None, None),
        "bare-bpe-apart": (None, None),
        "unigram": (normalizers.NFKC(), pre_tokenizers.Metaspace(prepend_scheme="always", split=True)),
        "unigram-whole": (None, pre_tokenizers.Metaspace(prepend_scheme="always", split=False)),
        "wordpiece": (normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()),
        "wordlevel": (normalizers.Lowercase(), pre_tokenizers.Whitespace()),
    }[kind]
