"""`python -m tests.benchmarks.tokenising MODEL`: seconds from a file to token ids, for questions of 77 intents.

The shape of Banking77 (10,000 rows of about 12 words, 77 options of 2 to 4), drawn from a list of words. Prints what
`load_task` takes on it, reading apart, and how many texts that are.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from engine.environment import prepare
from engine.models.tokenizer import read_tokenizer
from engine.preset.task import Task

_WORDS = """
i my the a to is it why has not what how can do card payment top up transfer cash exchange rate fee refund
pending account pin code statement balance machine foreign currency virtual physical lost stolen limit arrived
country identity verify passcode app charge twice cancelled beneficiary direct debit gift someone please help
"""


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tokenising")
    parser.add_argument("model", help="folder of a model with a tokenizer")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--options", type=int, default=77)
    arguments = parser.parse_args()
    prepare()
    from engine.tasks.load import load_task

    draw, words = random.Random(0), _WORDS.split()
    options: dict[str, str] = {}
    while len(options) < arguments.options:
        options.setdefault(" ".join(draw.sample(words, draw.randint(2, 4))), str(len(options)))
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.jsonl"
        with rows.open("w", encoding="utf-8") as file:
            for number in range(arguments.rows):
                question = " ".join(draw.choices(words, k=draw.randint(6, 18)))
                label = str(number % arguments.options)
                file.write(json.dumps({"text": f"{question} {number}?", "label": label}) + "\n")
        task = Task(
            train=str(rows), validation=str(rows), validation_examples=1, template="{text}\nThis is about:",
            label="label", verbalizer={label: option for option, label in options.items()},
        )  # type: ignore[call-arg]  # fmt: skip
        tokenizer = read_tokenizer(arguments.model, trust_remote_code=False)
        began = time.monotonic()
        stages: dict[str, float] = {}
        load_task(
            task, tokenizer, seed=0, max_length=2048, cache=Path(folder),
            report=lambda stage, fraction: stages.setdefault(stage, time.monotonic()),
        )  # fmt: skip
        tokenising = stages["tokenising validation"] - stages["tokenising train"]
        whole = time.monotonic() - began
    size = f"{arguments.rows:,} rows, {arguments.options} options"
    print(f"{size}: {tokenising:.2f} s from rows to tokens, {whole:.2f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
