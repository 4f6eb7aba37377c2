"""The vLLM runtime: probes scored by stock vLLM, plus and minus in one packed forward pass.

Two pinned LoRA slots hold U_acc +- eps U over A = V^T; the packed forward runs inside vLLM's worker
(`engine.vllm_seam`). vLLM's public API scores the same slots more slowly: it checks the packed path at
start-up, and takes over where that path fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from vllm import LLM, SamplingParams
from vllm.lora.request import LoRARequest

from engine.directions import Matrix
from engine.errors import UserError
from engine.model_files import ModelFacts
from engine.objective import Scores
from engine.packing import chunks, one_token_options
from engine.runtime import Needs, Probe
from engine.task import Example

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM allows as max_lora_rank
_MAX_TOKENS = 8192  # of one forward pass, both signs; larger batches are chunked
_SELF_CHECK_EXAMPLES = 4
# Largest difference, in nats, between a score by the packed path and by the public one.
_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.5, "float16": 0.1}
_WORKER = "engine.vllm_seam.worker.ZoWorker"


class VllmRuntime:
    """Runtime over stock vLLM; see `engine.runtime.Runtime` for the verbs."""

    name = "vllm"

    def __init__(
        self,
        facts: ModelFacts,
        *,
        dtype: str,
        device: str,
        rank: int,
        interval: int,
        seed: int,
        needs: Needs,
        memory_needed: int,
        trust_remote_code: bool = False,
    ) -> None:
        self.device = device
        self._dtype, self._interval = dtype, interval
        self._settled = False  # whether both slots hold U_acc itself
        self._usage = 0.0
        self._direct = True
        block = 32 if device == "cpu" else 16
        plan = plan_capacity(needs, block)
        self._llm = LLM(
            model=facts.path,
            dtype=dtype,
            seed=0,
            trust_remote_code=trust_remote_code,
            enforce_eager=True,
            enable_prefix_caching=False,  # it would return scores of overwritten slots
            enable_lora=True,
            max_loras=2,
            max_lora_rank=next(allowed for allowed in _RANKS if allowed >= rank),
            lora_target_modules=_target_modules(facts.matrices),
            max_model_len=plan.longest,
            max_num_batched_tokens=plan.tokens,
            max_num_seqs=plan.sequences,
            block_size=block,
            kv_cache_memory_bytes=plan.blocks * block * facts.kv_bytes_per_token(dtype),
            gpu_memory_utilization=_memory_share(device, memory_needed),
            disable_log_stats=True,
            worker_extension_cls=_WORKER,
        )
        self._matrices = [Matrix(*row) for row in self._call("zo_open", rank, seed)]
        _check_matrices(facts.matrices, self._matrices)
        self._block, blocks, tokens, sequences = self._call("zo_limits")
        self._limits = {"max_tokens": tokens, "max_blocks": blocks, "max_sequences": sequences}
        self._blocks = blocks

    # -- the verbs ------------------------------------------------------------------------------

    def matrices(self) -> list[Matrix]:
        return self._matrices

    def redraw(self, step: int) -> None:
        self._call("zo_redraw", step)
        self._settled = False

    def probe(self, step: int, query: int, eps: float, examples: Sequence[Example]) -> Probe:
        self._call("zo_perturb", step, query, eps)
        self._settled = False
        (plus, minus), tokens = self._score(examples, both=True)
        return Probe(plus, minus, tokens)

    def replay_probe(self, step: int, query: int, eps: float) -> None:
        """Probes leave no trace: the slots are overwritten, the weights never touched."""

    def update(self, step: int, coefficients: Sequence[float]) -> None:
        self._call("zo_update", step, list(coefficients))
        self._settled = False

    def score(self, examples: Sequence[Example]) -> Scores:
        if not self._settled:
            self._call("zo_settle")
            self._settled = True
        return self._score(examples, both=False)[0][0]

    def save_weights(self, path: Path) -> None:
        self._call("zo_save", str(path))

    def load_weights(self, path: Path) -> None:
        self._call("zo_load", str(path))
        self._settled = False

    def weights_since(self, step: int) -> int:
        # After n steps the last redraw was at the beginning of the interval of step n - 1.
        return (step - 1) // self._interval * self._interval if step else 0

    def kv_cache_usage(self) -> float | None:
        return self._usage

    def close(self) -> None:
        self._llm.llm_engine.engine_core.shutdown()

    # -- the packed path and the public one -----------------------------------------------------

    def self_check(self, examples: Sequence[Example], eps: float) -> str:
        """Score a few examples by both paths; keep the packed one only if they agree. Returns a line for the log."""
        some = list(examples[:_SELF_CHECK_EXAMPLES])
        self.redraw(0)
        self._call("zo_perturb", 0, 0, eps)
        self._settled = False
        public = [self._public(some, adapter) for adapter in (1, 2)]
        try:
            direct, _ = self._score(some, both=True)
        except Exception as error:  # noqa: BLE001 - whatever a vLLM we do not know may raise: the public path works
            self._direct = False
            return f"packed scoring failed on this vLLM ({type(error).__name__}: {error}); using its public API"
        worst = max(
            abs(a - b)
            for direct_sign, public_sign in zip(direct, public, strict=True)
            for direct_row, public_row in zip(direct_sign, public_sign, strict=True)
            for a, b in zip(_relative(some, direct_row), _relative(some, public_row), strict=True)
        )
        if not worst <= _TOLERANCE[self._dtype]:
            self._direct = False
            return f"packed scoring differs from vLLM's public API by {worst:.2g} nats; using the public API"
        return f"packed scoring agrees with vLLM's public API to {worst:.1g} nats"

    def use_public_api(self) -> None:
        """Score through vLLM's public API from now on."""
        self._direct = False

    def _score(self, examples: Sequence[Example], *, both: bool) -> tuple[list[Scores], int]:
        """Scores per sign (plus, and minus if `both`), and the tokens scored."""
        signs = 2 if both else 1
        if not self._direct:
            scores = [self._public(examples, adapter) for adapter in (1, 2)[:signs]]
            return scores, signs * sum(len(e.prompt) + len(o) for e in examples for o in e.options)
        found: list[Scores] = [[] for _ in range(signs)]
        tokens = 0
        limits = {name: limit // signs for name, limit in self._limits.items()}
        for part in chunks(examples, block_size=self._block, **limits):
            rows = [(list(e.prompt), [list(o) for o in e.options], e.label) for e in part]
            scores, scored, blocks = self._call("zo_score", rows, both)
            for sign, sign_scores in zip(found, scores, strict=True):
                sign += sign_scores
            tokens += scored
            self._usage = blocks / self._blocks
        return found, tokens

    def _public(self, examples: Sequence[Example], adapter: int) -> Scores:
        """Score through `generate`: every option a sequence of its own, its prompt scored again."""
        prompts = [{"prompt_token_ids": [*e.prompt, *o]} for e in examples for o in e.options]
        outputs = self._llm.generate(
            prompts,  # type: ignore[arg-type]
            SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False),
            lora_request=LoRARequest(("plus", "minus")[adapter - 1], adapter, "/none"),
            use_tqdm=False,
        )
        each = iter(outputs)
        scores: Scores = []
        for example in examples:
            row = []
            for option in example.options:
                found = next(each).prompt_logprobs[len(example.prompt) :]
                row.append(sum(at[token].logprob for at, token in zip(found, option, strict=True)))
            scores.append(row)
        return scores

    def _call(self, method: str, *args: Any) -> Any:
        return self._llm.collective_rpc(method, args=args)[0]


@dataclass(frozen=True)
class Capacity:
    """What one forward pass must hold, so that KV space is sized to need."""

    longest: int  # tokens of a sequence
    tokens: int  # of one forward pass
    sequences: int  # of one forward pass
    blocks: int  # KV pages, vLLM's null block included


def plan_capacity(needs: Needs, block: int) -> Capacity:
    """KV blocks, tokens and sequences for a step's batch, both signs, or as much as is worth it."""
    longest = needs.longest + 1  # the public path asks for one token more
    pages = -(-longest // block)
    # An option's tail takes at most one partly filled page and its own tokens.
    per_example = longest * needs.options
    tokens = min(max(2 * needs.batch * per_example, 2 * per_example), max(_MAX_TOKENS, 2 * per_example))
    sequences = max(2 * needs.batch * needs.options, 2 * needs.options)
    blocks = 1 + min(sequences * pages, max(2 * needs.options * pages, 2 * tokens // block + sequences))
    return Capacity(longest, tokens, sequences, blocks)


def _memory_share(device: str, needed: int) -> float:
    """What vLLM checks against free GPU memory at its start; KV space is sized to need regardless."""
    if device == "cpu":
        return 0.9  # not looked at, once KV space has a size
    return min(0.95, 1.2 * needed / torch.cuda.mem_get_info(device)[1])


def _target_modules(matrices: Sequence[Matrix]) -> list[str]:
    """Names of the layers that get slots; embeddings and the output head must not."""
    names = {matrix.name.removesuffix(".weight").rpartition(".")[2] for matrix in matrices}
    return sorted(names | {"qkv_proj", "gate_up_proj"})


def _check_matrices(wanted: Sequence[Matrix], found: Sequence[Matrix]) -> None:
    if set(wanted) != set(found):
        missing = sorted({m.name for m in wanted} - {m.name for m in found})
        example = missing[0] if missing else sorted(m.name for m in set(found) ^ set(wanted))[0]
        raise UserError(
            f"model.path: vLLM cannot adapt {max(1, len(missing))} of the model's {len(wanted)} linear layers "
            f"(such as {example}); use --set model.runtime=training-loop"
        )


def _relative(examples: Sequence[Example], row: list[float]) -> list[float]:
    """Scores as comparable between the paths: short of a constant where only options were scored."""
    return [value - row[0] for value in row] if one_token_options(examples) else row
