"""Scores through vLLM's public API: what a packed pass is checked against, and what takes over where it fails."""

from __future__ import annotations

from collections.abc import Sequence

from vllm import LLM, SamplingParams
from vllm.lora.request import LoRARequest

from engine.objective import Scores
from engine.task import Example


def generate_scores(llm: LLM, examples: Sequence[Example], adapter: int | None) -> Scores:
    """Every option a sequence of its own, its prompt scored again; without an adapter, the base weights."""
    prompts = [{"prompt_token_ids": [*e.prompt, *o]} for e in examples for o in e.options]
    outputs = llm.generate(
        prompts,  # type: ignore[arg-type]
        SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False),
        lora_request=LoRARequest(("plus", "minus")[adapter - 1], adapter, "/none") if adapter else None,
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
