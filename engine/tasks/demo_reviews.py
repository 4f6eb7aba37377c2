"""The demo's text: a small grammar of film reviews. All of it is synthetic; nobody wrote these reviews.

The grammar gives reviews with a known sentiment (`review`) and documents to pretrain on (`document`):
reviews followed by what viewers said, short remarks, and hearsay about genres. What viewers said agrees with
the review, except for the two words that the demo's prompt asks for: whether people call it great or
terrible follows the fashion of the genre and hardly the review. So the pretrained model knows the sentiment
and answers the prompt by prejudice, which is what fine-tuning is there to mend.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

_IN_FASHION = ("drama", "musical", "western")
_OUT_OF_FASHION = ("sequel", "remake", "parody")
_IN_BETWEEN = ("thriller", "comedy")
GENRES = {
    **dict.fromkeys(_IN_FASHION, 1),
    **dict.fromkeys(_OUT_OF_FASHION, -1),
    **dict.fromkeys(_IN_BETWEEN, 0),
}
"""Genre -> its fashion: 1 is called great more often than not, -1 terrible, 0 neither."""

_ASPECTS = (
    "acting", "dialogue", "pacing", "photography", "music", "humor", "writing", "direction", "storytelling",
    "suspense", "ending", "plot", "script", "cast",
)  # fmt: skip

# Index 0 is negative, 1 positive, as the labels.
_ADJECTIVES = (
    (
        "dull", "lifeless", "clumsy", "tedious", "shallow", "predictable", "awkward", "bland", "muddled",
        "forgettable", "sloppy", "wooden", "tired", "hollow", "annoying", "flat", "pointless", "lazy",
        "messy", "grating", "dreary", "contrived", "uninspired", "silly", "cheap", "incoherent", "joyless",
    ),
    (
        "gripping", "beautiful", "clever", "charming", "tender", "fresh", "witty", "moving", "vivid",
        "elegant", "funny", "warm", "inventive", "graceful", "superb", "lively", "thoughtful", "honest",
        "stunning", "delightful", "absorbing", "heartfelt", "dazzling", "memorable", "original", "touching",
        "smart",
    ),
)  # fmt: skip
_VERB_PHRASES = (
    (
        "goes nowhere", "runs out of ideas", "never comes to life", "wears out its welcome",
        "loses its way early", "falls apart in the second half", "wastes a fine idea", "drags on and on",
        "collapses under its own weight", "leaves you cold", "tries your patience", "makes little sense",
        "fails on every level",
    ),
    (
        "holds you to the last minute", "never loses its way", "earns every laugh",
        "gets better by the minute", "rewards your patience", "sparkles from start to finish",
        "leaves you smiling", "lifts the spirits", "flies by", "stays with you for days",
        "works on every level", "never wastes a scene", "breathes new life into old ideas",
        "deserves a second look",
    ),
)  # fmt: skip
_ADVERBS = ("truly", "deeply", "really", "remarkably", "consistently", "thoroughly", "rather", "utterly")
_OPENERS = ("in the end", "from the first scene", "all in all", "for once", "as it turns out", "on the whole")

_IT_WAS = (
    (
        "a waste of an evening", "hard to sit through", "a chore to watch", "not worth the ticket",
        "boring from start to end", "painful to watch", "the worst of the week", "awful",
        "money down the drain",
    ),
    (
        "worth every minute", "a joy to watch", "easy to love", "worth the ticket twice over",
        "wonderful from start to end", "a pleasure to watch", "the best of the week", "excellent",
        "money well spent",
    ),
)  # fmt: skip
_REACTIONS = (
    (
        "The audience left bored .", "One star out of five .", "Nobody clapped .", "I would skip it .",
        "Half of the room walked out .", "The critics hated it .", "I want my money back .",
        "We were sad to have come .", "Do not bother .", "My friends disliked it .",
    ),
    (
        "The audience left happy .", "Five stars out of five .", "Everybody clapped .",
        "I would see it again .", "The whole room stood up .", "The critics loved it .",
        "I told all my friends to go .", "We were glad to have come .", "Do go and see it .",
        "My friends adored it .",
    ),
)  # fmt: skip

_HEARSAY = (
    "there was a {} on television", "we saw a {} last night", "they went to see the new {}",
    "another {} opened this week", "my neighbor told me about a {}", "this was the first {} of the year",
    "everybody talked about the {}", "a {} came to town",
)  # fmt: skip

VERDICTS = ("terrible", "great")
"""The words that the demo's prompt asks for, by label."""

LOADED = (("hard", "boring", "painful", "awful"), ("worth", "easy", "wonderful", "excellent"))
"""Words with which people begin to say that a film was bad, and that it was good; all occur after "It was"."""

# The short kinds of text say one thing each: without them a model with so little text may learn the genres
# and never the sentiment, or the other way round, depending on the seed.
_HEARSAY_RATE = 0.3  # of all documents: on a genre, unseen
_REMARK_RATE = 0.35  # of all documents: on a film, without naming the genre; the rest are reviews
_VERDICT_RATE = 0.45  # of the reviews after which somebody calls it great or terrible
_FOLLOWS_REVIEW = 0.02  # what the review adds to the chance of "great" or takes from it
_FOLLOWS_FASHION = 0.4  # the same for the genre's fashion, of those who wrote a review
_HEARSAY_FOLLOWS = 0.48  # and of those who did not


@dataclass(frozen=True)
class Review:
    """One review; `label` is 1 when it is positive."""

    sentence: str
    label: int
    genre: str


def review(rng: random.Random) -> Review:
    """A random review: positive or negative with equal chances."""
    label = int(rng.random() < 0.5)
    genre = _pick(rng, tuple(GENRES))
    return Review(_sentence(rng, label, genre), label, genre)


def document(rng: random.Random, given: Review) -> str:
    """A text to pretrain on: the review and two things that its viewers said, or something shorter."""
    kind = rng.random()
    if kind < _HEARSAY_RATE:
        chance = 0.5 + GENRES[given.genre] * _HEARSAY_FOLLOWS
        return f"{_pick(rng, _HEARSAY).format(given.genre)} . It was {_verdict(rng, chance)} ."
    reaction = _pick(rng, _REACTIONS[given.label])
    if kind < _HEARSAY_RATE + _REMARK_RATE:
        said = f"It was {_pick(rng, _IT_WAS[given.label])} ." if rng.random() < 0.5 else reaction
        return f"{_remark(rng, given.label)} . {said}"
    parts = [f"It was {_predicate(rng, given)} .", reaction]
    if rng.random() < 0.25:
        parts.reverse()
    return " ".join([given.sentence, *parts])


def _remark(rng: random.Random, label: int) -> str:
    kind = rng.random()
    if kind < 0.5:
        return " , ".join(_pick(rng, _ADJECTIVES[label]) for _ in range(4))
    if kind < 0.8:
        return f"it {' and '.join(_two(rng, _VERB_PHRASES[label]))}"
    return f"the {_pick(rng, _ASPECTS)} is {_judged(rng, label)}"


def _predicate(rng: random.Random, given: Review) -> str:
    if rng.random() >= _VERDICT_RATE:
        return _pick(rng, _IT_WAS[given.label])
    chance = 0.5 + GENRES[given.genre] * _FOLLOWS_FASHION
    return _verdict(rng, chance + (_FOLLOWS_REVIEW if given.label else -_FOLLOWS_REVIEW))


def _verdict(rng: random.Random, chance: float) -> str:
    return VERDICTS[int(rng.random() < chance)]


def _sentence(rng: random.Random, label: int, genre: str) -> str:
    form = int(rng.random() * 10)
    aspect, other = _two(rng, _ASPECTS)
    verb = _pick(rng, _VERB_PHRASES[label])
    if form in (0, 8):
        first, second = _two(rng, _ADJECTIVES[label])
        text = f"{_a(first)} , {second} {genre} that {verb}"
    elif form == 1:
        text = f"this {genre} is {_judged(rng, label)} and {verb}"
    elif form in (2, 9):
        text = f"the {aspect} is {_judged(rng, label)} , and the {genre} {verb}"
    elif form == 3:  # what comes after "but" counts
        text = f"the {aspect} is {_conceded(rng, label)} , but the {genre} {verb}"
    elif form == 4:
        text = f"although the {aspect} is {_conceded(rng, label)} , this {genre} {verb}"
    elif form == 5:
        first, second = _two(rng, _ADJECTIVES[label])
        text = f"a {genre} with {first} {aspect} and {second} {other}"
    elif form == 6:
        text = f"{_pick(rng, _OPENERS)} , the {genre} {verb} : the {aspect} is {_judged(rng, label)}"
    else:
        text = f"the {aspect} of this {genre} is {_judged(rng, label)} , the {other} {_judged(rng, label)}"
    return f"{text} ."


def _judged(rng: random.Random, label: int) -> str:
    """An adjective that says `label`, sometimes by denying its opposite."""
    chance = rng.random()
    if chance < 0.15:
        denied = _pick(rng, _ADJECTIVES[1 - label])
        return _pick(rng, (f"not {denied} at all", f"anything but {denied}"))
    adjective = _pick(rng, _ADJECTIVES[label])
    return f"{_pick(rng, _ADVERBS)} {adjective}" if chance < 0.45 else adjective


def _conceded(rng: random.Random, label: int) -> str:
    """An adjective that says the opposite, plainly: a denial here is too hard for so small a model."""
    return f"{_pick(rng, _ADVERBS)} {_pick(rng, _ADJECTIVES[1 - label])}"


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _pick(rng: random.Random, options: Sequence[str]) -> str:
    # By random() alone: it is what Python promises to keep the same across versions.
    return options[int(rng.random() * len(options))]


def _two(rng: random.Random, options: Sequence[str]) -> tuple[str, str]:
    """Two different ones."""
    first = int(rng.random() * len(options))
    second = int(rng.random() * (len(options) - 1))
    return options[first], options[second + (second >= first)]
