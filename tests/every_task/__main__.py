"""`python -m tests.every_task`: each task through run, eval and export, and what was exported, loaded by others.

Of the sample of each task (../shared/data), on a random OPT, in float32 on the CPU: twenty steps by `zotui run` on each
runtime, `zotui eval` of the state at the end, and `zotui export` in both formats. The validation loss of that state by
the run, by `zotui eval`, by transformers with the merged model, by peft with the adapter, and by vLLM with either, as
anybody starts it: each is to be within 1e-5 nats of the run's. Prints Markdown; the exit code is 1 if one is not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from engine.environment import absent, prepare
from engine.preset.load import load_file
from engine.tasks.example import Example
from engine.tasks.load import Task, load_task
from engine.tasks.objective import Scores, loss
from tests.engine.tasks.samples import CONTEXT, TASKS, keys_of, make_long_opt

_TOLERANCE = 1e-5
_COLUMNS = ("training loop", "eval", "transformers, merged", "peft, adapter", "vLLM, merged", "vLLM, adapter")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.every_task", description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--task", action="append", choices=TASKS, help="the folder of a sample; may be repeated")
    arguments = parser.parse_args()
    prepare()
    print("| task | before | after | " + " | ".join(_COLUMNS) + " |\n|---|" + "---|" * (2 + len(_COLUMNS)), flush=True)
    fine = True
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        make_long_opt(arguments.shared / "models/tiny-opt", model)
        for name in arguments.task or TASKS:
            before, after, found = through(name, model, arguments.shared.absolute(), Path(folder) / name)
            apart = [abs(loss - after) for loss in found]
            fine &= max(apart) < _TOLERANCE and abs(after - before) > 10 * _TOLERANCE
            cells = " | ".join(f"{one:.0e}" for one in apart)
            print(f"| {name} | {before:.5f} | {after:.5f} | {cells} |", flush=True)
    return 0 if fine else 1


def through(name: str, model: Path, shared: Path, folder: Path) -> tuple[float, float, list[float]]:
    """The losses before and after the steps, by the run, and after them by each of `_COLUMNS`."""
    keys, length = keys_of(name, shared)
    folder.mkdir()
    preset = folder / "preset.toml"
    text = {
        "model": {"path": str(model), "dtype": "float32", "device": "cpu", "max_length": length},
        "task": keys,
        "method": {"interval": 10, "lr": 1e-4},
        "run": {"steps": 20, "batch_size": 2, "eval_every": 10},
    }
    preset.write_text(tomlkit.dumps(text), encoding="utf-8")
    run, losses = folder / "run", []
    for runtime, place in (("vllm", run), ("training-loop", folder / "loop")):
        told = zotui("run", preset, "--run-dir", place, "--set", f"model.runtime={runtime}", "--json")
        events = [json.loads(line) for line in told.splitlines()]
        losses.append([one["metrics"]["loss"] for one in events if one["type"] == "eval"])
    (before, *_, after), (*_, by_loop) = losses
    found = [by_loop, json.loads(zotui("eval", run, "--step", "last", "--json"))["metrics"]["loss"]]
    merged, adapter = (folder / form for form in ("merged", "adapter"))
    for place in (merged, adapter):
        zotui("export", run, "--to", place, "--format", place.name)
    task = task_of(run, model)
    found += [loss_by(task, by_transformers(merged, None)), loss_by(task, by_transformers(model, adapter))]
    (plain,) = by_vllm(merged, [None], task, folder / "scores.json")
    (adapted,) = by_vllm(model, [adapter], task, folder / "scores.json")
    return before, after, [*found, plain, adapted]


def zotui(*words: Any) -> str:
    """What a command prints; it is to succeed."""
    done = subprocess.run([sys.executable, "-m", "zotui", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"zotui {' '.join(map(str, words))}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def task_of(run: Path, model: Path) -> Task:
    """What the run was validated on."""
    from transformers import AutoTokenizer

    wanted = load_file(run / "preset.toml")
    length = wanted.model.max_length or CONTEXT
    return load_task(wanted.task, AutoTokenizer.from_pretrained(model), seed=wanted.run.seed, max_length=length)


def loss_by(task: Task, score: Callable[[Sequence[int], Sequence[int]], float]) -> float:
    """By a function that scores the tokens at some places of a sequence, each after those before it."""
    scores = []
    for example in task.validation:
        every = ([*example.prompt, *option] for option in example.options)
        scores.append([score(ids, _places(task, example, number)) for number, ids in enumerate(every)])
    return loss(task.objective, task.validation, scores)


def _places(task: Task, example: Example, option: int) -> list[int]:
    """Of an option's tokens in its sequence; none where the loss does not ask for it."""
    if task.objective == "lm" and option != example.label:
        return []
    return [len(example.prompt) + at for at in example.scored(option)]


def by_transformers(model: Path, adapter: Path | None) -> Callable[[Sequence[int], Sequence[int]], float]:
    """By the model in a folder, and peft where there is an adapter."""
    import torch
    from transformers import AutoModelForCausalLM

    found = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    if adapter is not None:
        from peft import PeftModel

        found = PeftModel.from_pretrained(found, adapter).eval()

    @torch.inference_mode()
    def score(ids: Sequence[int], places: Sequence[int]) -> float:
        if not places:
            return 0.0
        logits = found(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        return float(sum(logits[place - 1, ids[place]].double() for place in places))

    return score


def by_vllm(model: Path, adapters: Sequence[Path | None], task: Task, to: Path) -> list[float]:
    """By vLLM in a process of its own, a token at a time."""
    sequences = [
        ([*example.prompt, *option], _places(task, example, number))
        for example in task.validation
        for number, option in enumerate(example.options)
    ]
    asked = {
        "model": str(model),
        "adapters": [None if adapter is None else str(adapter) for adapter in adapters],
        "places": [(ids[:place], ids[place]) for ids, places in sequences for place in places],
        "length": CONTEXT,
        "to": str(to),
    }
    starts = os.pathsep.join([str(Path(__file__).parents[1] / "starts"), os.environ.get("PYTHONPATH", "")])
    given = {**os.environ, "ZOTUI_TEST_ABSENT": " ".join(absent()), "PYTHONPATH": starts}
    command = [sys.executable, "-m", "tests.engine.export.vllm_scores"]
    subprocess.run(command, input=json.dumps(asked), text=True, check=True, env=given, stdout=subprocess.DEVNULL)
    losses = []
    for scored in json.loads(to.read_text(encoding="utf-8")):
        each = iter(scored)
        sums = iter([sum(next(each) for _ in places) for _, places in sequences])
        scores: Scores = [[next(sums) for _ in example.options] for example in task.validation]
        losses.append(loss(task.objective, task.validation, scores))
    return losses


if __name__ == "__main__":
    sys.exit(main())
