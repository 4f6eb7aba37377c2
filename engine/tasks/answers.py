"""How near a generated text is to the answers: SQuAD's official measures (Rajpurkar et al., arXiv 1606.05250)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """In small letters, without punctuation and articles, one space between words: as SQuAD compares."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split())


def exact_match(text: str, answers: Sequence[str]) -> float:
    """1 if the text is one of the answers, but for what `normalised` takes away; else 0."""
    return float(any(normalised(text) == normalised(answer) for answer in answers))


def f1(text: str, answers: Sequence[str]) -> float:
    """Harmonic mean of precision and recall of the words, 0..1, by the nearest of the answers.

    Where either has no words left it is 1 if both have none, as in SQuAD's later script.
    """
    return max(_f1(normalised(text).split(), normalised(answer).split()) for answer in answers)


def _f1(said: Sequence[str], right: Sequence[str]) -> float:
    if not said or not right:
        return float(said == right)
    same = (Counter(said) & Counter(right)).total()
    return 2 * same / (len(said) + len(right))
