"""Tasks made of a few rows and a stand-in tokenizer."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.preset.task import Task as PresetTask
from engine.tasks.load import Task, check_sources, load_task
from engine.tasks.tokenize import RULES

ROWS = [{"sentence": f" film {i} \n", "label": i % 2, "unused": [i]} for i in range(20)]


class Words:
    """A stand-in tokenizer: a token per word, with the special tokens that are asked for."""

    def __init__(self, begin: list[int] | None = None, end: list[int] | None = None, merges: str = "") -> None:
        self.begin, self.end, self.merges = begin or [], end or [], merges
        self.ids: dict[str, int] = {}
        self.bos_token_id = self.begin[0] if self.begin else None
        self.bos_token, self.eos_token_id = "<bos>", None

    def __call__(self, texts: Any, add_special_tokens: bool = True) -> dict[str, Any]:
        if isinstance(texts, list):
            return {"input_ids": [self(text, add_special_tokens)["input_ids"] for text in texts]}
        if self.merges:
            texts = texts.replace(self.merges, self.merges.replace(" ", "_"))
        ids = [self.ids.setdefault(word, 100 + len(self.ids)) for word in texts.split()]
        return {"input_ids": [*self.begin, *ids, *self.end] if add_special_tokens else ids}

    def decode(self, ids: list[int]) -> str:
        return self.text(tuple(ids))

    def text(self, ids: tuple[int, ...]) -> str:
        words = {number: word for word, number in self.ids.items()}
        return " ".join(words.get(i, f"<{i}>") for i in ids)


class Bytes:
    """A stand-in tokenizer: a token per byte of UTF-8, so that ids give back exactly the text that they are of."""

    bos_token_id = None

    def __call__(self, texts: Any, add_special_tokens: bool = True) -> dict[str, Any]:
        if isinstance(texts, list):
            return {"input_ids": [list(text.encode()) for text in texts]}
        return {"input_ids": list(texts.encode())}

    def text(self, ids: tuple[int, ...]) -> str:
        return bytes(ids).decode()

    def decode(self, ids: list[int]) -> str:
        return self.text(tuple(ids))


def prompts(path: str, template: str = "{text}", label: str = "label", **keys: Any) -> list[str]:
    """The prompts that a file's rows make; whatever labels it has are options."""
    options = {"0": "no", "1": "yes"}
    given = {"name": None, "train": path, "validation": path, "template": template, "label": label}
    loaded = load(Bytes(), max_length=10**9, **{**given, "verbalizer": options, **keys})
    return [Bytes().text(example.prompt) for example in loaded.train]


def write(path: str, rows: list[dict[str, Any]]) -> str:
    """Rows as a file of the kind that its name says."""
    if path.endswith(".jsonl"):
        Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.endswith(".json"):
        Path(path).write_text(json.dumps(rows))
    elif path.endswith(".csv"):
        with Path(path).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def load(tokenizer: Any = None, *, seed: int = 0, max_length: int = 64, rules: int = RULES, **keys: Any) -> Task:
    keys = {"name": "sst2", "train": "train.jsonl", "validation": "train.jsonl"} | keys
    return load_task(
        PresetTask(**{k: v for k, v in keys.items() if v is not None}),
        tokenizer or Words(),
        seed=seed,
        max_length=max_length,
        rules=rules,
    )


def refused(tokenizer: Any = None, **keys: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(tokenizer, **keys)
    message = str(caught.value)
    assert "\n" not in message
    return message


def unchecked(**keys: Any) -> str:
    """The message of the cheap check."""
    with pytest.raises(UserError) as caught:
        check_sources(PresetTask(**{"name": "sst2", "validation": "train.jsonl"} | keys))
    return str(caught.value)
