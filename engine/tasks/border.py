"""Whether a tokenizer treats a prompt and " option" behind it as two texts, so that an option is tokenised once.

For a fast tokenizer this follows from its parts. A text is cut at added tokens, normalised, cut again by the
pre-tokenizer, and each piece is encoded by itself. Let u be a prompt that ends in a visible character, and v a space
and an option. If no part can join the end of u with the beginning of v, or look across, then the ids of u + v are
those of u and those of v behind any prompt. That is asked part by part; for what is not known here, the answer
is no, and every option is tokenised behind every prompt.

Where the pre-tokenizer makes no cut between u and v, as with the tokenizers that come from SentencePiece, a BPE
model still joins nothing there if no token of its vocabulary has a space after another character: each
merge across the border would make one.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from engine.tasks.split_pattern import never_crosses, takes_spaces

_GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"  # built into ByteLevel
_PLAIN = ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "BertNormalizer", "Prepend")
_AT_SPACES = ("Whitespace", "WhitespaceSplit", "BertPreTokenizer")  # which also drop them
_BY_CHARACTER = ("Digits", "Punctuation")
_METASPACE = "\u2581"


class _Unknown(Exception):
    """Nothing is known of this part."""


class Border:
    """Between prompts and options, for one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        backend = tokenizer.backend_tokenizer if getattr(tokenizer, "is_fast", False) else None
        self._normalizer = backend.normalizer if backend else None
        self._added = tuple(token.content for token in backend.get_added_tokens_decoder().values()) if backend else ()
        self._ends: dict[str, bool] = {}  # last characters of prompts
        try:
            self._holds = backend is not None and _independent(backend)
        except _Unknown:
            self._holds = False

    def allows(self, options: Sequence[str]) -> bool:
        """Whether these options are the same tokens behind every prompt that `ends` well."""
        return self._holds and not any(token in option for option in options for token in self._added)

    def ends(self, prompt: str) -> bool:
        """Whether a prompt ends in a visible character, and in no added token."""
        last = prompt[-1:]
        if last not in self._ends:
            normal = self._normalizer.normalize_str(last) if self._normalizer and last else last
            self._ends[last] = _visible(last) and _visible(normal[-1:])
        return self._ends[last] and not prompt.endswith(self._added)


def _visible(character: str) -> bool:
    return character not in ("", _METASPACE) and unicodedata.category(character)[0] in "LNPS"


def _independent(backend: Any) -> bool:
    normalizers = _parts(backend.normalizer, "normalizers")
    for token in backend.get_added_tokens_decoder().values():
        if re.search(r"\S ", token.content) or (token.normalized and normalizers):
            return False
    space = " "
    for part in normalizers:
        if part["type"] == "Replace" and part["pattern"] == {"String": " "} and part["content"] == _METASPACE:
            space = _METASPACE
        elif part["type"] not in _PLAIN or (part["type"] == "Prepend" and part["prepend"] != _METASPACE):
            return False
    cut, space = _cuts(_parts(backend.pre_tokenizer, "pretokenizers"), space)
    return cut or _never_merges(backend, space)


def _cuts(parts: list[dict[str, Any]], space: str) -> tuple[bool, str]:
    """Whether the pre-tokenizer cuts there for certain, and what a space is to the model. Raises `_Unknown`."""
    cut = False
    for part in parts:
        kind = part["type"]
        if space == _METASPACE and kind == "Split" and part["pattern"] == {"String": " "}:
            continue  # there is none left
        if kind == "Metaspace" and part["replacement"] == _METASPACE:
            cut, space = cut or part["split"], _METASPACE
        elif space != " ":
            raise _Unknown
        elif kind in _AT_SPACES:
            cut = True
        elif kind == "ByteLevel":
            cut, space = cut or part["use_regex"], "Ġ"
        elif kind == "Split" and part["behavior"] == "Isolated" and not part["invert"] and "Regex" in part["pattern"]:
            if not never_crosses(part["pattern"]["Regex"]):
                raise _Unknown
            cut = cut or takes_spaces(part["pattern"]["Regex"])
        elif kind not in _BY_CHARACTER:
            raise _Unknown
    return cut, space


def _never_merges(backend: Any, space: str) -> bool:
    """Whether a BPE model has no token in which a space follows another visible character."""
    model = backend.model
    if type(model).__name__ != "BPE" or model.dropout or model.ignore_merges:
        return False
    if model.continuing_subword_prefix or model.end_of_word_suffix:
        return False
    white = "ĉ-č" if space == "Ġ" else r"\s"  # bytes 9 to 13, as ByteLevel writes them
    joined = re.compile(f"[^{white}{space}]{space}")
    vocabulary = backend.get_vocab(with_added_tokens=False)
    return space in vocabulary and not any(map(joined.search, vocabulary))


def _parts(component: Any, within: str) -> list[dict[str, Any]]:
    """A normaliser or pre-tokenizer as its own description has it, one part after the other. Raises `_Unknown`."""
    if component is None:
        return []
    try:
        described = json.loads(component.__getstate__())
    except Exception:  # noqa: BLE001 - the library has no other: a part of it is written in Python
        raise _Unknown from None
    return list(_flat(described, within))


def _flat(described: dict[str, Any], within: str) -> Any:
    for part in described[within] if described["type"] == "Sequence" else [described]:
        if part["type"] == "Sequence":
            yield from _flat(part, within)
        else:
            yield part
