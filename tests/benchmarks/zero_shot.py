"""`python -m tests.benchmarks.zero_shot MODEL`: every task as the model comes, by us and by a script on transformers.

The script has nothing of ours: prompts are `tests.engine.tasks.as_mezo`'s, scores and texts transformers' own, one
example at a time, and the measures are written down here once more. Prints Markdown for engine/BENCHMARKS.md.
"""

from __future__ import annotations

import argparse
import json
import re
import string
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from engine.environment import prepare
from tests.engine.tasks.as_mezo import FOLDERS, OFFICIAL, Row, Written, fixed


def _sst2(row: Row) -> Written:
    return fixed(f"{row['sentence'].strip()} It was", [" terrible", " great"], row["label"])


PROMPTS = {"sst2": _sst2, **OFFICIAL}

TEXTS = {"squad": ("answers", "text"), "drop": ("answers_spans", "spans")}
"""Where the answers are of the tasks of which a text is generated."""

NEW_TOKENS = 50


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.zero_shot")
    parser.add_argument("model", type=Path)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument(
        "--rows", type=int, default=200, help="of a task's sample, at most; a quarter of generated ones"
    )
    parser.add_argument("--task", action="append", help=f"of {', '.join(PROMPTS)}; all")
    arguments = parser.parse_args()
    prepare()
    theirs = Transformers(arguments.model)
    print(
        "| task | rows | measure | zotui eval | transformers | apart, points |\n|---|---|---|---|---|---|", flush=True
    )
    for task in arguments.task or PROMPTS:
        file = arguments.shared / "data" / FOLDERS.get(task, task) / "validation.jsonl"
        if not file.exists():
            continue
        most = arguments.rows // 4 if task in TEXTS else arguments.rows
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[:most]]
        ours, other = by_zotui(arguments.model, task, rows), theirs.evaluate(task, rows)
        for name, value in other.items():
            apart = 100 * abs(ours[name] - value)
            print(f"| {task} | {len(rows)} | {name} | {ours[name]:.4f} | {value:.4f} | {apart:.2f} |", flush=True)


def by_zotui(model: Path, task: str, rows: list[Row]) -> dict[str, float]:
    """Metrics of `zotui eval` in float32."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        keys = {
            "train": file, "validation": file, "validation_examples": len(rows), "generate_examples": len(rows),
            "generate_tokens": NEW_TOKENS, "bos": "never",  # as the tokenizer has it
        }  # fmt: skip
        if task not in TEXTS:
            keys = {name: value for name, value in keys.items() if not name.startswith("generate")}
        changes = ["model.dtype=float32", "model.device=cpu", *(f"task.{name}={value}" for name, value in keys.items())]
        command = [sys.executable, "-m", "zotui", "eval", str(model), "--task", task, "--json"]
        command += [part for change in changes for part in ("--set", change)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)["metrics"]  # type: ignore[no-any-return]


class Transformers:
    """The conventional way: a forward pass for every option, a generation for every prompt."""

    def __init__(self, model: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._torch = torch
        self._tokenizer = AutoTokenizer.from_pretrained(model)
        self._model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
        self._context = self._model.config.max_position_embeddings

    def evaluate(self, task: str, rows: list[Row]) -> dict[str, float]:
        """Accuracy; of generated texts, F1 and exact match."""
        if task in TEXTS:
            pairs = [(self._generated(PROMPTS[task](row)[0]), _answers(task, row)) for row in rows]
            return {
                "f1": _mean(max(_f1(said, one) for one in right) for said, right in pairs),
                "exact_match": _mean(_plain(said) in map(_plain, right) for said, right in pairs),
            }
        return {"accuracy": _mean(self._right(task, row) for row in rows)}

    def _right(self, task: str, row: Row) -> bool:
        prompt, texts, label = PROMPTS[task](row)
        scores = [self._score(prompt.strip(" "), text.strip(" ")) for text in texts]
        said = scores.index(max(scores))
        return row["entities"][said] in row["answers"] if task == "record" else said == label

    def _score(self, prompt: str, text: str) -> float:
        """Mean log-probability of what stands behind the prompt."""
        torch = self._torch
        ids = self._tokenizer(text).input_ids
        behind = len(ids) - len(self._tokenizer(prompt).input_ids)
        ids = ids[-self._context :]
        with torch.inference_mode():
            logits = self._model(torch.tensor([ids])).logits[0, -behind - 1 : -1].double()
        found = torch.log_softmax(logits, -1)[range(behind), ids[-behind:]]
        return float(found.mean())

    def _generated(self, prompt: str) -> str:
        torch = self._torch
        ids = self._tokenizer(prompt.strip(" ")).input_ids[-(self._context - NEW_TOKENS) :]
        stops = [self._tokenizer("\n").input_ids[-1], self._tokenizer.eos_token_id]
        found = self._model.generate(
            torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False,
            max_new_tokens=NEW_TOKENS, eos_token_id=stops, pad_token_id=stops[-1],
        )  # fmt: skip
        return str(self._tokenizer.decode(found[0, len(ids) :], skip_special_tokens=True)).strip()


def _answers(task: str, row: Row) -> list[str]:
    column, field = TEXTS[task]
    return list(row[column][field])


def _plain(text: str) -> str:
    """As SQuAD's official script compares."""
    text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def _f1(said: str, right: str) -> float:
    words, others = _plain(said).split(), _plain(right).split()
    same = sum((Counter(words) & Counter(others)).values())
    if not words or not others:
        return float(words == others)
    return 0.0 if not same else 2 * same / (len(words) + len(others))


def _mean(values: Any) -> float:
    found = list(values)
    return sum(found) / len(found)


if __name__ == "__main__":
    main()
