"""More official trainers in miniature, for `zo-trajectory/2`: by code that shares nothing with the engine's.

Each takes a model's parameters, or LoRA factors that a hook adds to the forward pass, through a few steps of random
tokens, drawing from torch's own generator as the official code does, and writes down what it found.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from tests.engine.recorder import LINEAR, loss_of, random_example

Loss = Callable[..., float]
Parameters = dict[str, torch.Tensor]
Taken = dict[str, Any]


def record_2(
    model_path: Path, to: Path, *, family: str, scope: str, objective: str = "classification", steps: int = 8,
    adapter: dict[str, Any] | None = None, **method: Any,
) -> Path:  # fmt: skip
    """Write a recording, and its adapter beside it: `adapter` has its rank, scaling and the modules' last names."""
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).eval().requires_grad_(False)
    moving = {n: p.data for n, p in model.named_parameters() if scope == "all" or n.endswith(LINEAR)}
    about: dict[str, Any] = {}
    if adapter:
        factors = _hook_factors(model, adapter)
        save_file(factors, to.with_suffix(".safetensors"))
        about = {"adapter": {"file": to.with_suffix(".safetensors").name, "alpha": 1.0, **adapter}}
        moving = {n: p for n, p in factors.items() if family != "p-rge" or n.endswith("lora_B")}
    draw = random.Random(f"{family}{scope}{objective}")
    method = {"weight_decay": 0.0, "lr_schedule": "constant", **method, "family": family, "scope": scope}
    trainer = _TRAINERS[family](moving, method)
    next(trainer)
    taken = []
    for step in range(steps):
        examples = [random_example(draw, objective) for _ in range(4)]
        lr = method["lr"] * (1 - step / steps if method["lr_schedule"] == "linear" else 1)
        seeds = [draw.randrange(10**7) for _ in range(method.get("queries", 1))]

        def loss(part: slice = slice(None), examples: list[Any] = examples) -> float:
            return loss_of(model, examples[part], objective)

        found = trainer.send((step, lr, seeds, loss))
        taken.append({"step": step, "lr": lr, "examples": examples, **found})
    about |= {"format": "zo-trajectory/2", "source": "the tests' recorder", "model": str(model_path)}
    about |= {"dtype": "float32", "objective": objective, "method": method, "steps": taken}
    to.write_text(json.dumps({**about, "parameters": [[n, list(p.shape)] for n, p in moving.items()]}))
    return to


def _hook_factors(model: Any, adapter: dict[str, Any]) -> Parameters:
    """LoRA factors on the modules named, which the forward pass adds."""
    torch.manual_seed(5)
    factors: Parameters = {}
    for name, module in model.named_modules():
        if name.endswith(tuple(adapter["modules"])):
            out, into = module.weight.shape
            a = factors[f"{name}.lora_A"] = (torch.rand(adapter["rank"], into) * 2 - 1) / math.sqrt(into)
            b = factors[f"{name}.lora_B"] = torch.zeros(out, adapter["rank"])
            module.register_forward_hook(
                lambda _, inputs, found, a=a, b=b: found + adapter["scaling"] * (inputs[0] @ a.T @ b.T)
            )
    return factors


def _decayed(name: str) -> bool:
    return "bias" not in name and "layer_norm" not in name and "layernorm" not in name


def _probe(moving: Parameters, directions: Callable[[], list[torch.Tensor]], eps: float, loss: Loss) -> Taken:
    found = []
    for times in (1, -2, None):
        if times is None:
            for p, z in zip(moving.values(), directions(), strict=True):
                p.copy_(p + eps * z)
            break
        for p, z in zip(moving.values(), directions(), strict=True):
            p.copy_(p + times * eps * z)
        found.append(loss())
    return {"loss_plus": found[0], "loss_minus": found[1], "projected_grad": (found[0] - found[1]) / (2 * eps)}


def _normals(moving: Parameters, seed: int) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    return [torch.normal(mean=0, std=1, size=p.shape) for p in moving.values()]


def _mezo(moving: Parameters, method: Taken) -> Iterator[Any]:
    _, lr, (seed,), loss = yield
    while True:
        found = _probe(moving, lambda seed=seed: _normals(moving, seed), method["eps"], loss)
        for (name, p), z in zip(moving.items(), _normals(moving, seed), strict=True):
            decay = method["weight_decay"] * p if _decayed(name) else 0
            p.copy_(p - lr * (found["projected_grad"] * z + decay))
        _, lr, (seed,), loss = yield {"seed": seed, **found}


def _lozo_m(moving: Parameters, method: Taken) -> Iterator[Any]:
    nu, r, beta = method["interval"], method["rank"], method["beta"]
    v: Parameters = {}
    old: Parameters = {}
    m: Parameters = {}
    step, lr, (seed,), loss = yield
    while True:

        def probed(seed: int = seed, step: int = step) -> list[torch.Tensor]:
            torch.manual_seed(seed)
            directions = []
            for name, p in moving.items():
                if p.ndim > 1:
                    if step % nu == 0:
                        v[name] = torch.randn(p.shape[1], r)
                    directions.append(torch.randn(p.shape[0], r) @ v[name].T)
                else:
                    directions.append(torch.randn(p.shape))
            return directions

        found = _probe(moving, probed, method["eps"], loss)
        torch.manual_seed(seed)
        for name, p in moving.items():
            matrix = p.ndim > 1
            fresh = found["projected_grad"] * (torch.randn(p.shape[0], r) if matrix else torch.randn(p.shape))
            if matrix and step % nu == 0:
                carried = m[name] @ (old[name].T @ v[name]) / p.shape[1] if name in old else None
                m[name] = fresh if carried is None else beta * carried + (1 - beta) * fresh
            else:
                m[name] = beta * m[name] + (1 - beta) * fresh if step else fresh
                if matrix and step % nu == nu - 1:
                    old[name] = v[name]
            decay = method["weight_decay"] * p if _decayed(name) else 0
            p.copy_(p - lr * ((m[name] @ v[name].T if matrix else m[name]) + decay))
        step, lr, (seed,), loss = yield {"seed": seed, **found}


def _fzoo(moving: Parameters, method: Taken) -> Iterator[Any]:
    def signs(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)
        return [torch.randint(0, 2, p.shape).float() * 2 - 1 for p in moving.values()]

    _, lr, seeds, loss = yield
    while True:
        losses = []
        for seed in seeds:
            for p, u in zip(moving.values(), signs(seed), strict=True):
                p.copy_(p + method["eps"] * u)
            losses.append(loss())
            for p, u in zip(moving.values(), signs(seed), strict=True):
                p.copy_(p - method["eps"] * u)
        base, mean = loss(), sum(losses) / len(losses)
        spread = math.sqrt(sum((one - mean) ** 2 for one in losses) / len(losses))
        coefficients = [(one - base) / (len(losses) * spread) for one in losses]
        for seed, c in zip(seeds, coefficients, strict=True):
            for p, u in zip(moving.values(), signs(seed), strict=True):
                p.copy_(p - lr * c * u)
        taken = {"seeds": seeds, "loss_base": base, "losses": losses, "coefficients": coefficients}
        _, lr, seeds, loss = yield taken


def _zo_muon(moving: Parameters, method: Taken) -> Iterator[Any]:
    nu, r, eps = method["interval"], method["rank"], method["eps"]
    bases: Parameters = {}

    def drawn(step: int, seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)
        found = []
        for name, p in moving.items():
            if p.ndim > 1 and step % nu == 0:
                q, upper = torch.linalg.qr(torch.randn(p.shape[0], r))
                bases[name] = q @ torch.diag(torch.where(torch.diag(upper) >= 0, 1.0, -1.0))
            found.append(torch.randn(r, p.shape[1]) if p.ndim > 1 else torch.randn(p.shape))
        return found

    def lifted(step: int, seed: int) -> list[torch.Tensor]:
        return [bases[n] @ u if u.ndim > 1 else u for n, u in zip(moving, drawn(step, seed), strict=True)]

    def sign(g: torch.Tensor) -> torch.Tensor:
        if method["update"] == "plain":
            return g
        if method["update"] == "svd":
            values, vectors = torch.linalg.eigh((g @ g.T).double())  # (G G')^(-1/2) G
            return (vectors @ torch.diag(values**-0.5) @ vectors.T @ g.double()).float()
        x = g / (torch.sqrt((g * g).sum()) + 1e-7)
        wide = x if x.shape[0] <= x.shape[1] else x.T
        for _ in range(5):
            a = wide @ wide.T
            wide = 3.4445 * wide - 4.7750 * (a @ wide) + 2.0315 * (a @ (a @ wide))
        return wide if x.shape[0] <= x.shape[1] else wide.T

    step, lr, seeds, loss = yield
    while True:
        if method["sided"] == "two":
            found = _probe(moving, lambda step=step, seeds=seeds: lifted(step, seeds[0]), eps, loss)
            g, taken = [found["projected_grad"]], {"seed": seeds[0], **found}
        else:
            base, losses = loss(), []
            for seed in seeds:
                for sign_of in (eps, -eps):
                    for p, z in zip(moving.values(), lifted(step, seed), strict=True):
                        p.copy_(p + sign_of * z)
                    if sign_of > 0:
                        losses.append(loss())
            g = [(one - base) / eps for one in losses]
            taken = {"seeds": seeds, "loss_base": base, "losses": losses, "coefficients": g}
        last = dict(bases)
        sums = [torch.zeros(())] * len(moving)
        for seed, one in zip(seeds, g, strict=True):
            sums = [total + one * u / len(seeds) for total, u in zip(sums, drawn(step, seed), strict=True)]
        bases.update(last)
        for (name, p), mean in zip(moving.items(), sums, strict=True):
            change = last[name] @ sign(mean) if p.ndim > 1 else mean
            change = change + (method["weight_decay"] * p if _decayed(name) else 0)
            p.copy_(p - (lr if p.ndim > 1 else 1e-7) * change)
        step, lr, seeds, loss = yield taken


def _hizoo(moving: Parameters, method: Taken) -> Iterator[Any]:
    curved = [torch.ones_like(p) for p in moving.values()]
    s, eps = method["s"], method["eps"]
    _, lr, (seed,), loss = yield
    while True:
        base = loss()

        def probed(seed: int = seed) -> list[torch.Tensor]:
            return [z * h**-0.5 for z, h in zip(_normals(moving, seed), curved, strict=True)]

        found = _probe(moving, probed, eps, loss)
        bend = abs(found["loss_plus"] + found["loss_minus"] - 2 * base) / (2 * eps * eps)
        for i, (p, z) in enumerate(zip(moving.values(), _normals(moving, seed), strict=True)):
            curved[i] = curved[i] * (1 - s + s * bend * z**2)
            p.copy_(p - lr * (found["projected_grad"] * z * curved[i] ** -0.5 + method["weight_decay"] * p))
        taken = {"seed": seed, "smooth": s, "loss_base": base, **found, "loss_after": loss()}
        _, lr, (seed,), loss = yield taken


def _p_rge(moving: Parameters, method: Taken) -> Iterator[Any]:
    eps, n = method["eps"], method["queries"]
    _, lr, (seed, *_), loss = yield
    while True:
        torch.manual_seed(seed)
        drawn = [torch.randn(n, *p.shape) for p in moving.values()]
        still = [p.clone() for p in moving.values()]
        sides: list[list[float]] = [[], []]
        for i in range(n):
            part = slice(4 * i // n, 4 * (i + 1) // n) if method["shards"] else slice(None)
            for side, scale in zip(sides, (eps, -eps), strict=True):
                for p, b, z in zip(moving.values(), still, drawn, strict=True):
                    p.copy_(b + scale * z[i])
                side.append(loss(part))
        g = [(a - b) / (2 * eps) for a, b in zip(*sides, strict=True)]
        for p, b, z in zip(moving.values(), still, drawn, strict=True):
            p.copy_(b - lr / n * sum(one * z[i] for i, one in enumerate(g)))
        taken = {"seed": seed, "losses_plus": sides[0], "losses_minus": sides[1], "projected_grads": g}
        _, lr, (seed, *_), loss = yield taken


def _conmezo(moving: Parameters, method: Taken) -> Iterator[Any]:
    d = sum(p.numel() for p in moving.values())
    theta, norm = method["theta"], math.sqrt(d)
    momentum = _normals(moving, method["first_seed"])
    z: list[torch.Tensor] = []
    g = 0.0
    step, lr, (seed,), loss = yield
    while True:
        beta = None if step == 0 else min(0.1 * step, 0.9)
        if beta is not None:
            a = beta * norm / math.sqrt(d) + (1 - beta) * g * math.cos(theta)
            b = (1 - beta) * g * math.sin(theta)
            momentum = [beta * m + (1 - beta) * g * one for m, one in zip(momentum, z, strict=True)]
            norm = math.sqrt(d * (a * a + b * b))
        z = [
            math.cos(theta) * math.sqrt(d) / norm * m + math.sin(theta) * u
            for m, u in zip(momentum, _normals(moving, seed), strict=True)
        ]
        found = _probe(moving, lambda z=z: z, method["eps"], loss)
        g = found["projected_grad"]
        for p, one in zip(moving.values(), z, strict=True):
            p.copy_(p - lr * g * one)
        step, lr, (seed,), loss = yield {"seed": seed, "beta": beta, **found}


_TRAINERS: dict[str, Callable[[Parameters, Taken], Any]] = {
    "mezo": _mezo, "lozo-m": _lozo_m, "fzoo": _fzoo, "zo-muon": _zo_muon, "hizoo": _hizoo, "p-rge": _p_rge,
    "conmezo": _conmezo,
}  # fmt: skip
