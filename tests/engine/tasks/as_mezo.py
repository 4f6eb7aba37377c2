"""MeZO's prompts and options, written down once more and apart from ours: what its templates make of a row.

From princeton-nlp/MeZO, large_models/templates.py, by what it does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
Written = tuple[str, list[str], int]
"""A prompt, the texts of prompt and option, and the first right one, as MeZO has them."""


def fixed(prompt: str, options: list[str], label: int) -> Written:
    return prompt, [prompt + option for option in options], label


def boolq(row: Row) -> Written:
    question = row["question"] if row["question"].endswith("?") else row["question"] + "?"
    prompt = f"{row['passage']} {question[0].upper() + question[1:]}\n"
    return fixed(prompt, ["No", "Yes"], row["label"])


def copa(row: Row) -> Written:
    premise = row["premise"].rstrip().removesuffix(".")
    prompt = premise + {"effect": " so ", "cause": " because "}[row["question"]]

    def joined(choice: str) -> str:
        words = choice.split(" ")
        return prompt + " ".join([words[0] if words[0] == "I" else words[0].lower(), *words[1:]])

    return prompt, [joined(row["choice1"]), joined(row["choice2"])], row["label"]


def record(row: Row) -> Written:
    prompt = row["passage"].replace("@highlight\n", "- ") + "\n-"
    texts = [f"{prompt} {row['query'].replace('@placeholder', entity)}" for entity in row["entities"]]
    return prompt, texts, row["entities"].index(row["answers"][0])


def squad(row: Row) -> Written:
    prompt = f"Title: {row['title']}\nContext: {row['context']}\nQuestion: {row['question'].strip()}\nAnswer:"
    return prompt, [f"{prompt} {row['answers']['text'][0]}\n"], 0


def drop(row: Row) -> Written:
    prompt = f"Passage: {row['passage']}\nQuestion: {row['question'].strip()}\nAnswer:"
    return prompt, [f"{prompt} {row['answers_spans']['spans'][0]}\n"], 0


OFFICIAL: dict[str, Callable[[Row], Written]] = {
    "rte": lambda row: fixed(
        f'{row["premise"]}\nDoes this mean that "{row["hypothesis"]}" is true? Yes or No?\n',
        ["Yes", "No"],
        row["label"],
    ),
    "cb": lambda row: fixed(
        f'Suppose {row["premise"]} Can we infer that "{row["hypothesis"]}"? Yes, No, or Maybe?\n',
        ["Yes", "No", "Maybe"],
        row["label"],
    ),
    "boolq": boolq,
    "wsc": lambda row: fixed(
        f'{row["text"]}\nIn the previous sentence, does the pronoun "{row["span2_text"].lower()}" refer to '
        f"{row['span1_text']}? Yes or No?\n",
        ["No", "Yes"],
        row["label"],
    ),
    "wic": lambda row: fixed(
        f'Does the word "{row["word"]}" have the same meaning in these two sentences? Yes, No?\n{row["sentence1"]}\n'
        f"{row['sentence2']}\n",
        ["No", "Yes"],
        row["label"],
    ),
    "multirc": lambda row: fixed(
        f'{row["paragraph"]}\nQuestion: {row["question"]}\nI found this answer "{row["answer"]}". Is that correct? Yes '
        "or No?\n",
        ["No", "Yes"],
        row["label"],
    ),
    "copa": copa,
    "record": record,
    "squad": squad,
    "drop": drop,
    "sst2": lambda row: fixed(f"{row['sentence'].strip()} It was", [" terrible", " great"], row["label"]),
}
FOLDERS = {"wsc": "wsc.fixed"}
