"""`python -m tests.benchmarks.gradient_noise MODEL`: how much noise a step has, by what shares a direction.

A finite difference along Z gives <g, Z> for the mean gradient g of the examples that share Z. A step that averages N of
them is off by about |g|^2 / N in every dimension, so E |g|^2 / N is what methods differ in, at equal tokens: one
direction for 16 examples, one for each, or for each pair, of any labels or of both. Gradients are by backpropagation,
which the product never does, of the first training examples of SST-2, at the weights as they are.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.environment import prepare

BATCH = 16


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gradient_noise")
    parser.add_argument("model", type=Path)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--examples", type=int, default=240)
    arguments = parser.parse_args()

    prepare()
    import torch
    from transformers import AutoModelForCausalLM

    from engine.models.tokenizer import read_tokenizer
    from engine.preset.task import Task
    from engine.tasks.load import load_task

    data = (arguments.shared / "data/sst2").absolute()
    task = Task(name="sst2", train=f"{data}/train.jsonl", validation=f"{data}/validation.jsonl")
    examples = load_task(
        task, read_tokenizer(str(arguments.model), trust_remote_code=False), seed=0, max_length=512
    ).train
    random.Random(0).shuffle(examples)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
    moving = [parameter for name, parameter in model.named_parameters() if ".layers." in name and parameter.dim() == 2]
    rows = []
    for example in examples[: arguments.examples]:
        logits = model(torch.tensor([example.prompt])).logits[0, -1]
        scores = logits[[option[0] for option in example.options]]
        loss = torch.nn.functional.cross_entropy(scores[None], torch.tensor([example.label]))
        rows.append(torch.cat([one.flatten() for one in torch.autograd.grad(loss, moving)]).bfloat16())
    gradients = torch.stack(rows)
    labels = [example.label for example in examples[: arguments.examples]]
    both = list(zip(*([i for i, label in enumerate(labels) if label == wanted] for wanted in (0, 1)), strict=False))

    def told(what: str, groups: Sequence[Sequence[int]]) -> None:
        square = float(torch.stack([gradients[list(one)].float().mean(0) for one in groups]).square().sum(1).mean())
        directions = BATCH // len(groups[0])
        print(f"| {what} | {directions} | {square:.2f} | {square / directions:.2f} |")

    print("| examples that share a direction | directions, N | E \\|g\\|^2 | E \\|g\\|^2 / N |\n|---|---|---|---|")
    for size in (16, 2, 1):
        told(f"{size}", [range(i, i + size) for i in range(0, len(labels) - size + 1, size)])
    for size in (8, 1):
        paired = [[i for pair in both[at : at + size] for i in pair] for at in range(0, len(both) - size + 1, size)]
        told(f"{2 * size}, as many of both labels", paired)
    return 0


if __name__ == "__main__":
    sys.exit(main())
