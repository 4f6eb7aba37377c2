"""Steps of every method against its formula, in float64 and written down here from the papers.

Only the random numbers are the engine's own. The model is a tiny Llama of transformers in float64, of which every
perturbed weight is made in full.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from engine.directions.philox import Normals, key
from engine.directions.rademacher import Signs
from engine.directions.space import space_of
from engine.optimizer import Optimizer
from engine.preset.method import Method
from engine.runtimes.training_loop import TrainingLoop
from engine.tasks.example import Example
from engine.updates.base import rule_of
from tests.families.models import write_model

CPU = torch.device("cpu")
Array = np.ndarray[Any, np.dtype[np.float64]]
STEPS, INTERVAL, EPS = 3, 2, 0.03  # the basis changes before the last step


class Reference:
    """A model in float64: W by name, and losses at other ones."""

    def __init__(self, path: Path) -> None:
        import transformers

        self._model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64).eval()
        held = dict(self._model.named_parameters())
        self.names = [n for n in held if ".layers." in n and held[n].dim() == 2]
        self._held = {name: held[name] for name in self.names}
        self.w: dict[str, Array] = {name: held[name].detach().numpy().copy() for name in self.names}

    @torch.inference_mode()
    def loss(self, z: dict[str, Array] | None, eps: float, examples: Sequence[Example]) -> float:
        """Of W + eps Z: the mean cross-entropy over the options' mean log-probabilities."""
        for name in self.names:
            moved = self.w[name] if z is None else self.w[name] + eps * z[name]
            self._held[name].copy_(torch.from_numpy(moved))
        losses = []
        for example in examples:
            means = []
            for option in example.options:
                logits = self._model(torch.tensor([[*example.prompt, *option]])).logits[0].log_softmax(-1)
                at = range(len(example.prompt) - 1, len(example.prompt) + len(option) - 1)
                means.append(sum(float(logits[i, t]) for i, t in zip(at, option, strict=True)) / len(option))
            losses.append(-means[example.label] + math.log(sum(map(math.exp, means))))
        return sum(losses) / len(losses)


def drawn(law: type[Normals] | type[Signs], kind: str, name: str, shape: tuple[int, int], *place: int) -> Array:
    """The engine's numbers of seed 0."""
    out = torch.empty(shape[0] * shape[1])
    law(0, kind, [(name, out.numel())], CPU).fill(out, *place)
    return out.view(shape).double().numpy()


def haar(gaussian: Array) -> Array:
    q, r = np.linalg.qr(gaussian)
    return q * np.where(np.diag(r) < 0, -1, 1)


def normals(kind: str, name: str, shape: tuple[int, int], *place: int) -> Array:
    return drawn(Normals, kind, name, shape, *place)


def newton_schulz(m: Array) -> Array:
    """Muon's five iterations."""
    if m.shape[0] > m.shape[1]:
        return newton_schulz(m.T).T
    x = m / (np.linalg.norm(m) + 1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


# -- each method: what a step does to W. `at(z, examples)` is the loss at W + z, `since` the step of the last redraw ---

Step = Callable[[Reference, int, Sequence[Example], dict[str, Any]], None]


def lozo(m: Reference, t: int, batch: Sequence[Example], state: dict[str, Any], r: int = 2, lr: float = 1e-2) -> None:
    since = t - t % INTERVAL
    z = {n: normals("u", n, (len(w), r), t, 0) @ normals("v", n, (w.shape[1], r), since).T for n, w in m.w.items()}
    g = (m.loss(z, EPS, batch) - m.loss(z, -EPS, batch)) / (2 * EPS)
    for n in m.names:
        m.w[n] -= lr * g * z[n]


def lozo_m(m: Reference, t: int, batch: Sequence[Example], state: dict[str, Any], r: int = 4, lr: float = 1e-2) -> None:
    since, beta = t - t % INTERVAL, 0.9
    u = {n: normals("u", n, (len(w), r), t, 0) for n, w in m.w.items()}
    v = {n: normals("v", n, (w.shape[1], r), since) for n, w in m.w.items()}
    z = {n: u[n] @ v[n].T for n in m.names}
    g = (m.loss(z, EPS, batch) - m.loss(z, -EPS, batch)) / (2 * EPS)
    for n in m.names:
        momentum = state.get(n, np.zeros_like(u[n]))
        if t and t == since:
            momentum = momentum @ (normals("v", n, v[n].shape, t - INTERVAL).T @ v[n]) / len(v[n])
        state[n] = beta * momentum + (1 - beta) * g * u[n]
        m.w[n] -= lr * state[n] @ v[n].T


def mezo_factorized(m: Reference, t: int, batch: Sequence[Example], state: dict[str, Any]) -> None:
    r, lr = 16, 1e-2
    z = {
        n: normals("u", n, (len(w), r), t, 0) @ normals("v", n, (w.shape[1], r), t).T / math.sqrt(r)
        for n, w in m.w.items()
    }
    g = (m.loss(z, EPS, batch) - m.loss(z, -EPS, batch)) / (2 * EPS)
    for n in m.names:
        m.w[n] -= lr * g * z[n]


def fzoo(m: Reference, t: int, batch: Sequence[Example], state: dict[str, Any]) -> None:
    """theta <- theta - lr sum_i (l_i - l_0) u_i / (N std(l)), std with N - 1."""
    count, r, lr = 4, 2, 1e-3
    since = t - t % INTERVAL
    zs = [
        {
            n: drawn(Signs, "u", n, (len(w), r), t, i) @ drawn(Signs, "v", n, (w.shape[1], r), since).T / math.sqrt(r)
            for n, w in m.w.items()
        }
        for i in range(count)
    ]
    base, losses = m.loss(None, 0.0, batch), [m.loss(z, EPS, batch) for z in zs]
    sigma = np.std(losses, ddof=1)
    for n in m.names:
        m.w[n] -= lr * sum((loss - base) * z[n] for loss, z in zip(losses, zs, strict=True)) / (count * sigma)


def grzo(m: Reference, t: int, batch: Sequence[Example], state: dict[str, Any]) -> None:
    """An example its own direction; a_i = delta_i / std(delta), W <- W - lr / B sum a_i Z_i."""
    r, lr = 2, 1e-3
    since = t - t % INTERVAL
    zs = [
        {
            n: normals("u", n, (len(w), r), t, i) @ normals("v", n, (w.shape[1], r), since).T / math.sqrt(r)
            for n, w in m.w.items()
        }
        for i in range(len(batch))
    ]
    delta = [m.loss(z, EPS, [one]) - m.loss(z, -EPS, [one]) for z, one in zip(zs, batch, strict=True)]
    sigma = np.std(delta, ddof=1)
    for n in m.names:
        m.w[n] -= lr / len(batch) * sum(d / sigma * z[n] for d, z in zip(delta, zs, strict=True))


def fast(m: Reference, t: int, batch: Sequence[Example], state: dict[str, Any]) -> None:
    """g_ij = (l_i(W + eps Z_ij) - l_i(W)) / eps on pair i, W <- W - lr / (p q) sum_ij g_ij Z_ij."""
    r, queries, lr = 2, 3, 1e-2
    since, pairs = t - t % INTERVAL, [batch[:2], batch[2:]]
    moved = {n: np.zeros_like(w) for n, w in m.w.items()}
    for query in range(queries):
        for place, pair in enumerate(pairs):
            z = {
                n: normals("u", n, (len(w), r), t, query * len(pairs) + place)
                @ normals("v", n, (w.shape[1], r), since).T
                for n, w in m.w.items()
            }
            g = (m.loss(z, EPS, pair) - m.loss(None, 0.0, pair)) / EPS
            for n in m.names:
                moved[n] += g * z[n]
    for n in m.names:
        m.w[n] -= lr / (len(pairs) * queries) * moved[n]


def zo_muon(m: Reference, t: int, batch: Sequence[Example], state: dict[str, Any]) -> None:
    count, r, lr = 4, 8, 1e-2
    since = t - t % INTERVAL
    v = {n: haar(normals("v", n, (w.shape[1], r), since)) for n, w in m.w.items()}
    us = [{n: normals("u", n, (len(w), r), t, i) for n, w in m.w.items()} for i in range(count)]
    base = m.loss(None, 0.0, batch)
    g = [(m.loss({n: u[n] @ v[n].T for n in m.names}, EPS, batch) - base) / EPS for u in us]
    for n in m.names:
        mean = sum(gi * u[n] for gi, u in zip(g, us, strict=True)) / count
        m.w[n] -= lr * newton_schulz(mean) @ v[n].T


def subzero_plus(m: Reference, t: int, batch: Sequence[Example], state: dict[str, Any], adam: bool = True) -> None:
    count, r, lr = (5, 8, 5e-3) if adam else (1, 8, 0.1)
    since = t - t % INTERVAL
    v = {n: haar(normals("v", n, (w.shape[1], r), since)) for n, w in m.w.items()}
    p = {n: haar(normals("p", n, (len(w), r), since)) for n, w in m.w.items()}
    cores = [{n: normals("u", n, (r, r), t, i) for n in m.names} for i in range(count)]
    zs = [{n: p[n] @ core[n] @ v[n].T for n in m.names} for core in cores]
    if not adam:
        g = (m.loss(zs[0], EPS, batch) - m.loss(zs[0], -EPS, batch)) / (2 * EPS)
        for n in m.names:
            m.w[n] -= lr * g * zs[0][n]
        return
    base = m.loss(None, 0.0, batch)
    g_of = [(m.loss(z, EPS, batch) - base) / EPS for z in zs]
    k = t - since + 1  # all is forgotten with the basis
    for n in m.names:
        c = sum(g * core[n] for g, core in zip(g_of, cores, strict=True)) / count
        first, second = state.get(n, (0.0, 0.0)) if k > 1 else (0.0, 0.0)
        state[n] = first, second = 0.9 * first + 0.1 * c, 0.95 * second + 0.05 * c * c
        step = (first / (1 - 0.9**k)) / (np.sqrt(second / (1 - 0.95**k)) + 1e-8)
        m.w[n] -= lr * p[n] @ step @ v[n].T


def subzero(m: Reference, t: int, batch: Sequence[Example], state: dict[str, Any]) -> None:
    subzero_plus(m, t, batch, state, adam=False)


def kerzoo(m: Reference, t: int, batch: Sequence[Example], state: dict[str, Any]) -> None:
    """g = (L+ - L-) / (2 eps) at +- eps r Z, times K(r)."""
    count, rank, lr = 2, 2, 1e-2
    since = t - t % INTERVAL
    moves: dict[str, Any] = dict.fromkeys(m.names, 0.0)
    for i in range(count):
        bits = np.random.Philox(key=np.array(key(0, "radius", ""), np.uint64), counter=[0, t, i, 0]).random_raw(1)
        r = int(bits[0] >> 11) / 2**52 - 1
        z = {
            n: normals("u", n, (len(w), rank), t, i) @ normals("v", n, (w.shape[1], rank), since).T
            for n, w in m.w.items()
        }
        g = (m.loss(z, EPS * r, batch) - m.loss(z, -EPS * r, batch)) / (2 * EPS)
        for n in m.names:
            moves[n] = moves[n] + lr / count * 15 / 4 * r * (5 - 7 * r**2) * g * z[n]
    for n in m.names:
        m.w[n] -= moves[n]


def conmezo(m: Reference, t: int, batch: Sequence[Example], state: dict[str, Any]) -> None:
    """In the coordinates of V, of which there are d in all; what is remembered is dropped with V."""
    r, lr, beta, theta = 2, 1e-2, 0.95, 1.35
    since = t - t % INTERVAL
    v = {n: normals("v", n, (w.shape[1], r), since) for n, w in m.w.items()}
    u = {n: normals("u", n, (len(w), r), t, 0) for n, w in m.w.items()}
    momentum = state.get("m") if t != since else None
    if momentum is not None:
        d = sum(part.size for part in u.values())
        norm = math.sqrt(sum((part**2).sum() for part in momentum.values()))
        u = {n: math.sqrt(d) * math.cos(theta) * momentum[n] / norm + math.sin(theta) * u[n] for n in m.names}
    z = {n: u[n] @ v[n].T for n in m.names}
    g = (m.loss(z, EPS, batch) - m.loss(z, -EPS, batch)) / (2 * EPS)
    state["m"] = {n: beta * (momentum[n] if momentum else 0) + (1 - beta) * g * u[n] for n in m.names}
    for n in m.names:
        m.w[n] -= lr * g * z[n]


METHODS: dict[str, tuple[Step, dict[str, Any]]] = {
    "lozo": (lozo, {"name": "lozo", "rank": 2, "lr": 1e-2}),
    "lozo-m": (lozo_m, {"name": "lozo-m", "rank": 4, "lr": 1e-2}),
    "mezo-factorized": (mezo_factorized, {"name": "mezo-factorized", "rank": 16, "lr": 1e-2, "interval": 1}),
    "fzoo": (fzoo, {"name": "fzoo", "queries": 4, "lr": 1e-3}),
    "grzo": (grzo, {"name": "grzo", "shards": 4, "lr": 1e-3}),
    "fast": (fast, {"name": "fast", "shards": 2, "queries": 3, "lr": 1e-2}),
    "zo-muon": (zo_muon, {"name": "zo-muon", "queries": 4, "rank": 8, "lr": 1e-2}),
    "subzero": (subzero, {"name": "subzero", "rank": 8, "lr": 0.1}),
    "kerzoo": (kerzoo, {"name": "kerzoo", "lr": 1e-2, "queries": 2}),
    "conmezo": (conmezo, {"name": "conmezo", "lr": 1e-2}),
    "subzero+": (
        subzero_plus,
        {"name": "subzero", "rank": 8, "lr": 5e-3, "update": "adam", "sides": "one", "queries": 5},
    ),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield write_model("llama", tmp_path_factory.mktemp("model"))
    torch.set_num_threads(threads)


def batch_of(step: int) -> list[Example]:
    generator = torch.Generator().manual_seed(step)
    prompts = [torch.randint(3, 500, (6 + 3 * i,), generator=generator).tolist() for i in range(4)]
    return [Example(tuple(prompt), ((7,), (8, 9)), i % 2) for i, prompt in enumerate(prompts)]


@pytest.mark.parametrize("name", METHODS)
def test_three_steps_are_those_of_the_formula(model: Path, tmp_path: Path, name: str) -> None:
    formula, keys = METHODS[name]
    reference, state = Reference(model), dict[str, Any]()
    start = {n: w.copy() for n, w in reference.w.items()}
    for step in range(STEPS):
        formula(reference, step, batch_of(step), state)

    method = Method(**{"interval": INTERVAL, "eps": EPS, **keys})
    loop = TrainingLoop(str(model), dtype="float32", device="cpu", seed=0, space=space_of(method), rule=rule_of(method))
    optimizer = Optimizer(method, STEPS, "classification")
    for step in range(STEPS):
        optimizer.step(loop, step, batch_of(step))
    loop.save_weights(tmp_path / "weights")
    ours = load_file(tmp_path / "weights")
    for n in reference.names:
        moved = reference.w[n] - start[n]
        apart = ours[n].double().numpy() - start[n] - moved
        assert np.linalg.norm(apart) < 2e-4 * np.linalg.norm(moved), n
