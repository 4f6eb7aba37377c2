"""The tasks that have a name: what each brings, in the keys of a preset.

All but the demo and AG News are those of MeZO (arXiv 2305.17333; princeton-nlp/MeZO, large_models/templates.py and
tasks.py): its prompts, options and the prompts that it calibrates by, and but for SST-2 its splits and sizes
(`engine.tasks.sampling`). `raw` is where MeZO takes a text as it is in the data, white space around it included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

_YES_NO = {"0": "Yes", "1": "No"}
_NO_YES = {"0": "No", "1": "Yes"}


@dataclass(frozen=True)
class Builtin:
    """What a name brings: keys of `[task]`, and how its examples are drawn."""

    keys: dict[str, Any]
    drawn: Literal["by-split", "mezo"] = "by-split"


def _mezo(source: str, *, dev: int = 500, **keys: Any) -> Builtin:
    """1,000 rows of the train split to train on and `dev` to validate on; 1,000 of the validation split to test."""
    sizes = {"train_examples": 1000, "validation_examples": dev, "test_examples": 1000}
    splits = {"train": f"{source}@train", "test": f"{source}@validation"}
    return Builtin({**splits, **sizes, "too_long": "truncate", **keys}, drawn="mezo")


_SENTIMENT: dict[str, Any] = {
    "kind": "classification",
    "template": "{sentence} It was",
    "label": "label",
    "verbalizer": {"0": "terrible", "1": "great"},
    "domain": "It was",
}

BUILTIN: dict[str, Builtin] = {
    "sst2": Builtin(
        {**_SENTIMENT, "train": "stanfordnlp/sst2@train", "validation": "stanfordnlp/sst2@validation"},
    ),
    "rte": _mezo(
        "aps/super_glue:rte",
        kind="classification",
        template='{premise:raw}\nDoes this mean that "{hypothesis:raw}" is true? Yes or No?\n',
        label="label",
        verbalizer=_YES_NO,
    ),
    "cb": _mezo(
        "aps/super_glue:cb",
        dev=100,
        kind="classification",
        template='Suppose {premise:raw} Can we infer that "{hypothesis:raw}"? Yes, No, or Maybe?\n',
        label="label",
        verbalizer={"0": "Yes", "1": "No", "2": "Maybe"},
    ),
    "boolq": _mezo(
        "aps/super_glue:boolq",
        kind="classification",
        template="{passage:raw} {question:raw|question|capital}\n",
        label="label",
        verbalizer=_NO_YES,
    ),
    "wsc": _mezo(
        "aps/super_glue:wsc.fixed",
        kind="classification",
        template='{text:raw}\nIn the previous sentence, does the pronoun "{span2_text:raw|lower}" refer to '
        "{span1_text:raw}? Yes or No?\n",
        label="label",
        verbalizer=_NO_YES,
    ),
    "wic": _mezo(
        "aps/super_glue:wic",
        kind="classification",
        template='Does the word "{word:raw}" have the same meaning in these two sentences? Yes, No?\n{sentence1:raw}\n'
        "{sentence2:raw}\n",
        label="label",
        verbalizer=_NO_YES,
    ),
    "multirc": _mezo(
        "aps/super_glue:multirc",
        kind="classification",
        template='{paragraph:raw}\nQuestion: {question:raw}\nI found this answer "{answer:raw}". Is that correct? Yes '
        "or No?\n",
        label="label",
        verbalizer=_NO_YES,
    ),
    "copa": _mezo(
        "aps/super_glue:copa",
        dev=100,
        kind="multiple-choice",
        template="{premise:stopless} {question:effect=so|cause=because}",
        choices=["{choice1:uncapital}", "{choice2:uncapital}"],
        domain="{question:effect=so|cause=because}",
        label="label",
    ),
    "record": _mezo(
        "aps/super_glue:record",
        kind="multiple-choice",
        template="{passage:raw|@highlight\n=- }\n-",
        choices=["{query:raw|@placeholder={entities}}"],
        domain="-",
        answers="answers",
    ),
    "squad": _mezo(
        "rajpurkar/squad",
        kind="generation",
        template="Title: {title:raw}\nContext: {context:raw}\nQuestion: {question}\nAnswer:",
        target="{answers.text:raw}\n",
        answers="answers.text",
    ),
    "drop": _mezo(
        "ucinlp/drop",
        kind="generation",
        template="Passage: {passage:raw}\nQuestion: {question}\nAnswer:",
        target="{answers_spans.spans:raw}\n",
        answers="answers_spans.spans",
    ),
    "ag_news": Builtin(
        {
            "kind": "classification",
            "train": "fancyzhx/ag_news@train",
            "test": "fancyzhx/ag_news@test",
            "template": "{text}\nThis is news about",
            "label": "label",
            "verbalizer": {"0": "world", "1": "sports", "2": "business", "3": "technology"},
            "domain": "This is news about",
        }
    ),
    "demo": Builtin(_SENTIMENT),  # the engine fills in the files that the demo makes
}
