"""An official trainer in miniature: it records trajectories, by code that shares nothing with the engine's."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

LINEAR = ("_proj.weight", "fc1.weight", "fc2.weight")


def record(
    model_path: Path,
    to: Path,
    *,
    family: str,
    scope: str,
    objective: str,
    steps: int = 12,
    interval: int = 5,
    weight_decay: float = 0.0,
) -> Path:
    """Take steps with random tokens and write them down, with the official LoZO update's flaw."""
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).eval().requires_grad_(False)
    moving = [(n, p) for n, p in model.named_parameters() if scope == "all" or n.endswith(LINEAR)]
    rank, eps = 2, 1e-3
    lr = {"linear": 3e-4, "all": 1e-4}[scope]  # small enough for tiny differences not to grow
    bases: dict[str, torch.Tensor] = {}
    draw = random.Random(f"{family}{scope}{objective}")
    taken = []
    for step in range(steps):
        seed = draw.randrange(10**9)
        examples = [random_example(draw, objective) for _ in range(3)]

        def move(scale: float, *, update: bool, seed: int = seed, step: int = step) -> None:
            torch.manual_seed(seed)
            for name, parameter in moving:
                if family == "lozo" and parameter.ndim == 2:
                    if step % interval == 0 and not update:
                        bases[name] = torch.randn(parameter.shape[1], rank)
                    z = torch.randn(parameter.shape[0], rank) @ bases[name].t()
                else:
                    z = torch.normal(mean=0, std=1, size=parameter.size())
                decays = update and not any(part in name for part in ("bias", "layer_norm", "layernorm"))
                parameter.data += scale * z - (lr * weight_decay * parameter.data if decays else 0)

        move(eps, update=False)
        plus = loss_of(model, examples, objective)
        move(-2 * eps, update=False)
        minus = loss_of(model, examples, objective)
        move(eps, update=False)
        grad = (plus - minus) / (2 * eps)
        move(-lr * grad, update=True)
        taken.append(
            {
                "step": step,
                "seed": seed,
                "examples": examples,
                "loss_plus": plus,
                "loss_minus": minus,
                "projected_grad": grad,
            }
        )
    method = {"family": family, "scope": scope, "eps": eps, "lr": lr, "weight_decay": weight_decay}
    if family == "lozo":
        method |= {"rank": rank, "interval": interval}
    to.write_text(
        json.dumps(
            {
                "format": "zo-trajectory/1",
                "source": "the tests' recorder",
                "model": str(model_path),
                "dtype": "float32",
                "objective": objective,
                "method": method,
                "parameters": [[name, list(parameter.shape)] for name, parameter in moving],
                "steps": taken,
            }
        )
    )
    return to


def random_example(draw: random.Random, objective: str) -> dict[str, Any]:
    """Options of one to three tokens; their prompts are mostly, but not always, the same."""

    def tokens(count: int) -> list[int]:
        return [draw.randint(3, 500) for _ in range(count)]

    lengths = [draw.randint(1, 3) for _ in range(1 if objective == "lm" else 3)]
    prompt = tokens(draw.randint(4, 40))
    sequences = [(prompt if draw.random() < 0.8 else tokens(6)) + tokens(n) for n in lengths]
    return {"sequences": sequences, "option_lens": lengths, "label": draw.randrange(len(lengths))}


def loss_of(model: Any, examples: list[dict[str, Any]], objective: str) -> float:
    rows, count = [], 0
    for example in examples:
        scores = []
        for sequence, length in zip(example["sequences"], example["option_lens"], strict=True):
            logits = model(torch.tensor([sequence])).logits[0, -length - 1 : -1].log_softmax(-1)
            scores.append(logits[range(length), sequence[-length:]])
        if objective == "lm":
            rows.append(-scores[0].sum())
            count += len(scores[0])
        else:
            means = torch.stack([score.mean() for score in scores])
            rows.append(torch.nn.functional.cross_entropy(means[None], torch.tensor([example["label"]])))
            count += 1
    return float(torch.stack(rows).sum() / count)
