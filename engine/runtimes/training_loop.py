"""The training-loop runtime: the conventional ZO loop in transformers, as the official trainers do it.

What moves, weights or the factors of an adapter (`engine.runtimes.loop`), is perturbed in place (+eps Z, -2 eps Z,
+eps Z) from regenerated directions, every option is a padded sequence of its own, each sign is a forward pass with
logits at every position, and the update goes straight into it. It is the baseline of every benchmark, the oracle of
every parity test, and what runs where vLLM does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from engine.directions.fold import FoldMode
from engine.directions.kept import UpdateKept
from engine.directions.learned import Learned
from engine.directions.low_rank import Drawn
from engine.directions.space import Space
from engine.errors import RunFailed
from engine.estimators.probing import Probing
from engine.models.facts import context_of, dtype_of
from engine.models.streamed import Entry, write_streamed
from engine.models.weights import Matrix
from engine.runtimes.base import EVALUATION_SEQUENCES, Probe, Upcoming
from engine.runtimes.loop.adapter import AdapterMoves
from engine.runtimes.loop.dense import DenseMoves
from engine.runtimes.loop.low_rank import LowRankMoves
from engine.runtimes.loop.moves import Moves, Setting
from engine.tasks.example import Example
from engine.tasks.objective import Scores
from engine.updates.base import Rule

_GENERATED = 16  # texts of a padded batch, whose keys and values are all kept


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
        scope: str = "linear",
        trust_remote_code: bool = False,
        random_weights: bool = False,
    ) -> None:
        """`experts`: whether those of a mixture move."""
        self.device = device
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
        self.longest = context_of(self._model.config)
        setting = Setting(space, rule, seed, fold, drawn, experts, scope)
        self._moves = self._open_moves(setting)
        self._steps_done = 0

    @property
    def model(self) -> PreTrainedModel:
        """The transformers model, as it stands."""
        return self._model

    @property
    def learned(self) -> Learned:
        """What was learned of directions that are no dense ones."""
        assert isinstance(self._moves, LowRankMoves | AdapterMoves)
        return self._moves.learned

    def matrices(self) -> list[Matrix]:
        return self._moves.matrices

    def redraw(self, step: int) -> None:
        self._moves.redraw(step)

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
        self._moves.start_anew(self._read_model())
        self._steps_done = 0
        return False

    def replay_probe(self, step: int, probing: Probing, eps: float) -> None:
        # Moving there and back rounds, so a replay must do it too to end in the same weights.
        for direction in range(probing.directions):
            far = probing.distance(direction // probing.shards, eps)
            for scale in (far, -2 * far, far) if probing.sides == "two" else (far, -far):
                self._moves.move(step, direction, scale)

    def update(self, step: int, gradients: Sequence[float], lr: float) -> None:
        self._moves.update(step, gradients, lr)
        self._steps_done = step + 1

    def update_kept(self) -> UpdateKept | None:
        return self._moves.update_kept()

    def score(self, examples: Sequence[Example]) -> Scores:
        return self._score(examples, at_once=EVALUATION_SEQUENCES)

    def generate(self, prompts: Sequence[Sequence[int]], most: int, stop: Sequence[int] = ()) -> list[list[int]]:
        starts = range(0, len(prompts), _GENERATED)
        return [ids for n in starts for ids in self._generate(prompts[n : n + _GENERATED], most, stop)]

    def at_base(self) -> AbstractContextManager[None]:
        return self._moves.at_base(Path(self._path))

    def merge(self) -> None:
        """Bring all that was learned into the model's weights. No step follows."""
        self._moves.merge(self._steps_done)

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[Sequence[int]], most: int, stop: Sequence[int]) -> list[list[int]]:
        """A batch, padded on the left. What a model's own generation config would change of it is set back."""
        eos = self._model.generation_config.eos_token_id
        ends = {*stop, *([] if eos is None else [eos] if isinstance(eos, int) else eos)}
        longest = max(map(len, prompts))
        ids = torch.zeros(len(prompts), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(list(prompt))
            mask[row, longest - len(prompt) :] = 1
        found = self._model.generate(
            ids.to(self._model.device), attention_mask=mask.to(self._model.device), max_new_tokens=most,
            do_sample=False, num_beams=1, repetition_penalty=1.0, no_repeat_ngram_size=0, pad_token_id=0,
            eos_token_id=sorted(ends) or None,
        )  # fmt: skip
        rows: list[list[int]] = found[:, longest:].tolist()
        return [_up_to(row, ends) for row in rows]

    @torch.inference_mode()
    def _score(self, examples: Sequence[Example], at_once: int | None = None) -> Scores:
        """In padded batches of `at_once` sequences, or in one."""
        sequences = [
            (e.prompt + option, [len(e.prompt) + at for at in e.scored(number)])
            for e in examples
            for number, option in enumerate(e.options)
        ]
        at_once = at_once or len(sequences)
        flat: list[float] = []
        for start in range(0, len(sequences), at_once):
            flat += self._log_probabilities(sequences[start : start + at_once])
        each = iter(flat)
        return [[next(each) for _ in example.options] for example in examples]

    def save_weights(self, path: Path) -> None:
        tensors = self._moves.tensors()
        entries = {name: Entry(tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
        write_streamed(path, entries, tensors.items())

    def load_weights(self, path: Path, step: int, began: int) -> None:
        with safe_open(path, framework="pt") as file:
            self._moves.load(file, step, began)
        self._steps_done = step

    def save_learned(self, path: Path) -> bool:
        return False  # every step moves the weights, and rounds them

    def load_learned(self, path: Path, step: int, began: int) -> None:
        raise RunFailed(f"{path}: is of a run by vllm, which folds; model.runtime = vllm goes on from it")

    def weights_since(self) -> int:
        return self._steps_done

    def kv_cache_usage(self) -> float | None:
        return None

    def close(self) -> None:
        """The garbage collector has it."""

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
            self._moves.move(step, direction, eps)
            plus += self._score(some)
            if base is None:
                self._moves.move(step, direction, -2 * eps)
                minus += self._score(some)
            self._moves.move(step, direction, eps if base is None else -eps)
        return Probe(plus, minus if base is None else base, (2 if base is None else 1) * _tokens_scored(examples))

    def _read_model(self) -> PreTrainedModel:
        trust: dict[str, Any] = {"trust_remote_code": self._trust_remote_code}
        config = AutoConfig.from_pretrained(self._path, **trust)
        return AutoModelForCausalLM.from_pretrained(self._path, dtype=self._dtype, **trust, **_attention(config))

    def _open_moves(self, setting: Setting) -> Moves:
        if setting.space.coordinates == "dense":
            return DenseMoves(self._model, setting)
        return LowRankMoves(self._model, setting) if setting.space.moves_weights else AdapterMoves(self._model, setting)

    def _log_probabilities(self, sequences: list[tuple[tuple[int, ...], list[int]]]) -> list[float]:
        """Summed log-probability of the tokens of every sequence at these places of it, in one padded batch."""
        longest = max(len(tokens) for tokens, _ in sequences)
        ids = torch.zeros(len(sequences), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, (tokens, _) in enumerate(sequences):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        ids, mask = ids.to(self._model.device), mask.to(self._model.device)
        logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        sums = []
        for row, (_, places) in enumerate(sequences):
            at = torch.tensor(places, device=logits.device)
            rows = logits[row, at - 1].float().log_softmax(-1)
            picked = rows.gather(1, ids[row, at, None])
            sums.append(picked.double().sum())
        return torch.stack(sums).tolist()


def _up_to(tokens: list[int], ends: set[int]) -> list[int]:
    """Up to the first of the tokens that end a text, which is kept; padding follows it."""
    return tokens[: next((at + 1 for at, token in enumerate(tokens) if token in ends), len(tokens))]


def _attention(config: Any) -> dict[str, str]:
    """How transformers is to attend: where scores are capped, as in Gemma 2, all but `eager` leave the cap out."""
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    return {"attn_implementation": "eager"} if capped else {}


def _tokens_scored(examples: Sequence[Example]) -> int:
    """Tokens of one forward pass, padding left out."""
    return sum(len(e.prompt) + len(option) for e in examples for option in e.options)
