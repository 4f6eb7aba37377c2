"""Special tokens whose text stands in the data: `</s>` in a review is text there, and no end of anything.

A tokenizer takes the text of a special token for the token, wherever it stands. In a template that is meant
(`<|im_start|>`); in a column's value it is not. So a text of which a value holds, or takes part in, such a text
is encoded by a copy of the tokenizer in which every special token has another name: what a value says is text to
it like any other, merges across the value's border included, and what the template says is written with the
new name, which gives the same id. Added tokens that are not special (`<think>`) are words that the tokenizer
knows, and stay tokens. So does a special token of a single character, which cannot be written otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from engine.errors import UserError
from engine.tasks.template import Filled

# Names are made of letters that no normaliser changes or takes away, and that hardly any text has (Old Turkic).
_LETTER, _END = "\U00010c00", "\U00010c01"

_CANNOT = (
    "the data holds the text of a special token, and this tokenizer cannot be told to take it for text; write it "
    "otherwise there"
)


class Specials:
    """The special tokens of a tokenizer, and how a text is encoded in which some are text."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._contents = _contents(tokenizer)  # longest first, as they match
        self._pattern = re.compile("|".join(map(re.escape, self._contents))) if self._contents else None
        self._copies: dict[str, Any] = {}  # of a fast tokenizer, by what its new names begin with

    def inside(self, text: Filled) -> list[str]:
        """The special tokens whose text a column's value holds or takes part in, each once."""
        if self._pattern is None or not text.data:
            return []
        found = {
            match[0]: None
            for match in self._pattern.finditer(text.text)
            if any(begin < match.end() and match.start() < end for begin, end in text.data)
        }
        return list(found)

    def encode(self, texts: Sequence[Filled]) -> list[list[int]]:
        """The ids of every text, with the special tokens that the tokenizer itself puts around one.

        Raises `UserError` for a tokenizer of which no such copy can be made.
        """
        if not getattr(self._tokenizer, "is_fast", False):
            return [self._encode_piecewise(text) for text in texts]
        start = next(_LETTER * n for n in count(1) if not any(_LETTER * n in text.text for text in texts))
        names = {content: f"{start}{number}{_END}" for number, content in enumerate(self._contents)}
        if start not in self._copies:
            self._copies[start] = _renamed(self._tokenizer.backend_tokenizer, names)
        renamed = [
            "".join(names[piece] if special else piece for piece, special in self._pieces(text)) for text in texts
        ]
        return [encoding.ids for encoding in self._copies[start].encode_batch_fast(renamed)]

    def _encode_piecewise(self, text: Filled) -> list[int]:
        """By a tokenizer in Python, which can only be told to know no added token at all in a text."""
        ids: list[int] = []
        for piece, special in self._pieces(text):
            if special:
                ids.append(self._tokenizer.convert_tokens_to_ids(piece))
            elif piece:
                ids += self._tokenizer(piece, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return list(self._tokenizer.build_inputs_with_special_tokens(ids))

    def _pieces(self, text: Filled) -> Iterator[tuple[str, bool]]:
        """The text in pieces, and of each whether it is a special token that did not come from a column."""
        assert self._pattern is not None
        after = 0
        for begin, end in (*text.data, (len(text.text), len(text.text))):
            for match in self._pattern.finditer(text.text[:begin], after):
                yield text.text[after : match.start()], False
                yield match[0], True
                after = match.end()
            yield text.text[after:end], False
            after = end


def _contents(tokenizer: Any) -> list[str]:
    if getattr(tokenizer, "split_special_tokens", False):  # none is taken for a token anywhere
        return []
    try:
        added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    except (AttributeError, NotImplementedError):  # Mistral's own, to which no text is a special token
        return []
    every = {token for token in (*added, *tokenizer.all_special_tokens) if len(token) > 1}
    return sorted(every, key=lambda token: (-len(token), token))


def _renamed(backend: Any, names: dict[str, str]) -> Any:
    """A copy of a `tokenizers.Tokenizer` in which tokens have other names, and the ids that they had."""
    from tokenizers import Tokenizer

    try:
        layout = json.loads(backend.to_str())
    except Exception:  # noqa: BLE001 - the library has no other: a part of it is written in Python
        raise UserError(_CANNOT) from None
    for token in layout["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    model = layout["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(token, token): number for token, number in model["vocab"].items()}
    else:  # of a unigram model: pieces and their scores, in order
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    if "merges" in model:  # none of them makes a special token of text
        pairs = (tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"])
        model["merges"] = [pair for pair in pairs if names.keys().isdisjoint((*pair, "".join(pair)))]
    if model.get("unk_token"):
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    copy = Tokenizer.from_str(json.dumps(layout))
    copy.no_truncation()
    copy.no_padding()
    was = {number: names.get(token.content, token.content) for number, token in _added(backend)}
    if was != {number: token.content for number, token in _added(copy)}:
        raise UserError(_CANNOT)
    return copy


def _added(backend: Any) -> list[tuple[int, Any]]:
    return list(backend.get_added_tokens_decoder().items())
