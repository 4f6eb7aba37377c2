"""vLLM's public API over our slots: texts, and scores that packed passes are checked against and fall back on."""

from __future__ import annotations

from collections.abc import Sequence

from vllm import LLM, SamplingParams
from vllm.lora.request import LoRARequest

from engine.tasks.example import Example
from engine.tasks.objective import Scores


def generate_scores(llm: LLM, examples: Sequence[Example], adapter: int | None) -> Scores:
    """Every option a sequence of its own, its prompt scored again; without an adapter, the base weights."""
    prompts = [{"prompt_token_ids": [*e.prompt, *o]} for e in examples for o in e.options]
    outputs = llm.generate(
        prompts,  # type: ignore[arg-type]
        SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False),
        lora_request=_request(adapter) if adapter else None,
        use_tqdm=False,
    )
    each = iter(outputs)
    scores: Scores = []
    for example in examples:
        row = []
        for number, option in enumerate(example.options):
            places = next(each).prompt_logprobs[len(example.prompt) :]
            row.append(sum(places[at][option[at]].logprob for at in example.scored(number)))
        scores.append(row)
    return scores


def generate_tokens(
    llm: LLM, prompts: Sequence[Sequence[int]], adapter: int | None, most: int, stop: Sequence[int]
) -> list[list[int]]:
    """For every prompt at most `most` tokens that go on from it, the likeliest at every place, up to one of `stop`."""
    outputs = llm.generate(
        [{"prompt_token_ids": list(prompt)} for prompt in prompts],  # type: ignore[arg-type]
        SamplingParams(max_tokens=most, temperature=0.0, detokenize=False, stop_token_ids=list(stop)),
        lora_request=_request(adapter) if adapter else None,
        use_tqdm=False,
    )
    return [list(output.outputs[0].token_ids) for output in outputs]


def _request(adapter: int) -> LoRARequest:
    return LoRARequest(("plus", "minus")[adapter - 1], adapter, "/none")
