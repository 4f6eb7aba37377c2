"""The training-loop runtime: the conventional ZO loop in transformers, as the official trainers do it.

Weights are perturbed in place (+eps Z, -2 eps Z, +eps Z) from regenerated directions, every option is
a padded sequence of its own, each sign is a forward pass with logits at every position, and the update
goes straight into the weights. It is the baseline of every benchmark, the oracle of every parity
test, and what runs where vLLM does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from engine.directions.fold import FoldMode
from engine.directions.kept import UpdateKept, update_kept
from engine.directions.learned import UPDATE, Learned, update_state
from engine.directions.low_rank import Drawn, views
from engine.directions.space import Space
from engine.estimators.probing import Probing
from engine.models.facts import context_of, dtype_of, weights_in_scope
from engine.models.streamed import Entry, write_streamed
from engine.models.weights import BaseWeights, Matrix, check_room_aside
from engine.runtimes.base import EVALUATION_SEQUENCES, Probe, Upcoming
from engine.tasks.example import Example
from engine.tasks.objective import Scores
from engine.updates.base import Rule


class TrainingLoop:
    """Runtime over a transformers model; see `engine.runtimes.base.Runtime` for the verbs."""

    name = "training-loop"

    def __init__(
        self,
        path: str,
        *,
        dtype: str,
        device: str,
        seed: int,
        space: Space = Space(),
        rule: Rule = Rule(),
        drawn: Drawn = "philox",
        fold: FoldMode = "nearest",
        experts: bool = True,
        trust_remote_code: bool = False,
        random_weights: bool = False,
    ) -> None:
        """`experts`: whether those of a mixture move."""
        self.device, self._experts = device, experts
        self._path, self._dtype, self._trust_remote_code = path, dtype_of(dtype), trust_remote_code
        self._model: PreTrainedModel
        if random_weights:
            config = AutoConfig.from_pretrained(path)
            with torch.device(device):
                self._model = AutoModelForCausalLM.from_config(config, dtype=self._dtype, **_attention(config))
        else:
            self._model = self._read_model().to(device)
        self._model.eval()
        self._model.requires_grad_(False)
        in_scope = weights_in_scope(self._model, experts=experts)
        self._matrices = [matrix for matrix, _ in in_scope]
        self.longest = context_of(self._model.config)
        self._weights = {matrix.name: weight for matrix, weight in in_scope}
        # What it learns goes into the weights at once: U_acc holds no more than an update on its way.
        self._rule = rule
        self.learned = Learned(self._matrices, space, seed, torch.device(device), fold, drawn, rule, ahead=False)
        self._steps_done = 0
        self._begin_samples()

    @property
    def model(self) -> PreTrainedModel:
        """The transformers model, as it stands."""
        return self._model

    def matrices(self) -> list[Matrix]:
        return self._matrices

    def redraw(self, step: int) -> None:
        # Nothing to fold: every update is in the weights already.
        if self._steps_done:
            for state in self.learned.states:
                state.sample.compare(state.v, self._weights[state.matrix.name])
        self.learned.redraw(step)

    def probe(
        self, step: int, probing: Probing, eps: float, examples: Sequence[Example], upcoming: Upcoming | None = None
    ) -> list[Probe]:
        if probing.sides == "two":
            return [self._probe(step, query, probing, eps, examples) for query in range(probing.queries)]
        base = self._score(examples)
        probes = [self._probe(step, query, probing, eps, examples, base) for query in range(probing.queries)]
        return [replace(probes[0], tokens=probes[0].tokens + _tokens_scored(examples)), *probes[1:]]

    def abandon_probe(self) -> bool:
        # Moving there and back rounds, and what overflowed on the way is lost.
        for matrix, weight in weights_in_scope(self._read_model(), experts=self._experts):
            self._weights[matrix.name].copy_(weight)
        self._steps_done = 0
        self.learned.restart()
        self._begin_samples()
        return False

    def replay_probe(self, step: int, probing: Probing, eps: float) -> None:
        # Moving there and back rounds, so a replay must do it too to end in the same weights.
        for direction in range(probing.directions):
            far = probing.distance(direction // probing.shards, eps)
            for scale in (far, -2 * far, far) if probing.sides == "two" else (far, -far):
                self._move(step, direction, scale)

    def update(self, step: int, gradients: Sequence[float], lr: float) -> None:
        if self._rule.name == "sgd":
            for direction, gradient in enumerate(gradients):
                self._move(step, direction, -(lr * gradient / len(gradients)), intended=True)
        else:
            self.learned.learn(step, gradients, lr)
            self._add(self.learned.learned, 1.0, intended=True)
            self.learned.folded()
        self._steps_done = step + 1

    def update_kept(self) -> UpdateKept | None:
        return update_kept(state.sample for state in self.learned.states)

    def score(self, examples: Sequence[Example]) -> Scores:
        return self._score(examples, at_once=EVALUATION_SEQUENCES)

    @torch.inference_mode()
    def generate(self, prompt: Sequence[int], most: int) -> list[int]:
        ids = torch.tensor([list(prompt)], device=self._model.device)
        generated = self._model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=most, do_sample=False)
        return generated[0, len(prompt) :].tolist()

    @contextmanager
    def at_base(self) -> Iterator[None]:
        base = BaseWeights(Path(self._path), self._matrices)
        check_room_aside(self._matrices, self._dtype)
        aside = {}
        try:
            for name, weight in self._weights.items():
                aside[name] = weight.to("cpu", copy=True)
                weight.copy_(base.read(name))
            yield
        finally:
            for name, kept in aside.items():
                self._weights[name].copy_(kept)

    @torch.inference_mode()
    def _score(self, examples: Sequence[Example], at_once: int | None = None) -> Scores:
        """In padded batches of `at_once` sequences, or in one."""
        sequences = [(e.prompt + option, len(option)) for e in examples for option in e.options]
        at_once = at_once or len(sequences)
        flat: list[float] = []
        for start in range(0, len(sequences), at_once):
            flat += self._log_probabilities(sequences[start : start + at_once])
        each = iter(flat)
        return [[next(each) for _ in example.options] for example in examples]

    def save_weights(self, path: Path) -> None:
        state = {f"{UPDATE}{name}": value for name, value in self.learned.update.state().items()}
        tensors = {**self._weights, **state}
        entries = {name: Entry(tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
        write_streamed(path, entries, tensors.items())

    def load_weights(self, path: Path, step: int, began: int) -> None:
        with safe_open(path, framework="pt") as file:
            for name, weight in self._weights.items():
                weight.copy_(file.get_tensor(name))
            state = update_state(file)
        self._steps_done = step
        self.learned.restart()
        if step:
            self.learned.resume(began, state)
        self._begin_samples()

    def weights_since(self) -> int:
        return self._steps_done

    def kv_cache_usage(self) -> float | None:
        return None

    def close(self) -> None:
        self._weights.clear()

    def _probe(
        self,
        step: int,
        query: int,
        probing: Probing,
        eps: float,
        examples: Sequence[Example],
        base: Scores | None = None,
    ) -> Probe:
        """A query; with `base`, the scores at the weights as they are, on one side."""
        eps = probing.distance(query, eps)
        plus: Scores = []
        minus: Scores = []
        for shard, part in enumerate(probing.shard_ranges(len(examples))):
            direction, some = query * probing.shards + shard, examples[part.start : part.stop]
            self._move(step, direction, eps)
            plus += self._score(some)
            if base is None:
                self._move(step, direction, -2 * eps)
                minus += self._score(some)
            self._move(step, direction, eps if base is None else -eps)
        return Probe(plus, minus if base is None else base, (2 if base is None else 1) * _tokens_scored(examples))

    def _read_model(self) -> PreTrainedModel:
        trust: dict[str, Any] = {"trust_remote_code": self._trust_remote_code}
        config = AutoConfig.from_pretrained(self._path, **trust)
        return AutoModelForCausalLM.from_pretrained(self._path, dtype=self._dtype, **trust, **_attention(config))

    def _begin_samples(self) -> None:
        for state in self.learned.states:
            state.sample.restart()
            state.sample.begin(self._weights[state.matrix.name])

    def _move(self, step: int, direction: int, scale: float, *, intended: bool = False) -> None:
        """W += scale Z(step, direction), in the weights' own precision; `intended` if it is to stay."""
        if abs(scale) > torch.finfo(self._dtype).max:
            scale = math.copysign(math.inf, scale)  # what it overflows to; torch refuses it as it is
        self._add(self.learned.draw(step, direction), scale, intended=intended)

    def _add(self, coordinates: torch.Tensor, scale: float, *, intended: bool) -> None:
        """W += scale U V^T, with U by its coordinates, those of all matrices."""
        u_of = views(self.learned.lifted(coordinates), self._matrices, "rows")
        for state, u in zip(self.learned.states, u_of, strict=True):
            weight = self._weights[state.matrix.name]
            z = u @ state.v.T
            weight.add_(z.to(weight.dtype), alpha=scale)
            if intended:
                state.sample.learn(u, scale)

    def _log_probabilities(self, sequences: list[tuple[tuple[int, ...], int]]) -> list[float]:
        """Summed log-probability of the last `n` tokens of every (sequence, n), in one padded batch."""
        longest = max(len(tokens) for tokens, _ in sequences)
        ids = torch.zeros(len(sequences), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, (tokens, _) in enumerate(sequences):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        ids, mask = ids.to(self._model.device), mask.to(self._model.device)
        logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        sums = []
        for row, (tokens, options) in enumerate(sequences):
            end = len(tokens)
            rows = logits[row, end - options - 1 : end - 1].float().log_softmax(-1)
            picked = rows.gather(1, ids[row, end - options : end, None])
            sums.append(picked.double().sum())
        return torch.stack(sums).tolist()


def _attention(config: Any) -> dict[str, str]:
    """How transformers is to attend: where scores are capped, as in Gemma 2, all but `eager` leave the cap out."""
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    return {"attn_implementation": "eager"} if capped else {}


def _tokens_scored(examples: Sequence[Example]) -> int:
    """Tokens of one forward pass, padding left out."""
    return sum(len(e.prompt) + len(option) for e in examples for option in e.options)
