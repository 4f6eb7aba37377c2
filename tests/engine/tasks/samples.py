"""The samples of every task, as keys of a preset, and a random model of a context that they fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

CONTEXT = 1536  # of the model; ReCoRD's options are long to a tokenizer of 512 tokens
LONGEST = 320  # tokens of an example of another task: their prompts are cut

QUESTION = "{question}\nAnswer:"
NLI = {
    "template": "{premise} {hypothesis}\n",
    "label": "label",
    "verbalizer": {"0": "Yes", "1": "Maybe", "2": "No"},
}
TASKS: dict[str, dict[str, Any]] = {  # by the folder of its sample; the names that tasks have, and own ones
    "sst2": {"name": "sst2"},
    "rte": {"name": "rte"},
    "cb": {"name": "cb"},
    "boolq": {"name": "boolq"},
    "wsc.fixed": {"name": "wsc"},
    "multirc": {"name": "multirc"},
    "copa": {"name": "copa"},
    "record": {"name": "record"},
    "squad": {"name": "squad"},
    "drop": {"name": "drop"},
    "snli": NLI,
    "mnli": NLI,
    "gsm8k": {"kind": "generation", "template": QUESTION, "target": "{answer}", "end": "eos", "generate_examples": 3},
    "countdown": {"kind": "generation", "template": "{nums:listed} make {target}:", "target": "{solution}\n"},
}


def keys_of(sample: str, shared: Path) -> tuple[dict[str, Any], int]:
    """The [task] of a sample, a few of its rows, and `model.max_length`."""
    data = shared / "data" / sample
    given: dict[str, Any] = {
        "train": str(data / "train.jsonl"), "validation": str(data / "validation.jsonl"), "train_examples": 40,
        "validation_examples": 8, "too_long": "truncate", **TASKS[sample],
    }  # fmt: skip
    if sample in ("record", "gsm8k"):  # whose options and targets may be all that fits
        given |= {"too_long": "skip", "validation_examples": 4}
    return given, CONTEXT - 1 if given["too_long"] == "skip" else LONGEST


def make_long_opt(tiny: Path, folder: Path) -> None:
    """A random OPT of that context, with the tokenizer of the one in `tiny`."""
    from transformers import AutoModelForCausalLM, OPTConfig

    about = json.loads((tiny / "config.json").read_text(encoding="utf-8"))
    about |= {"max_position_embeddings": CONTEXT, "num_hidden_layers": 2, "ffn_dim": 256, "init_std": 0.08}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(OPTConfig(**about), dtype=torch.float32).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny / file, folder / file)
