"""Next-token scores by vLLM as anybody starts it, with adapters and without: `python -m ... < asked.json`.

In a process of its own: vLLM leaves variables and process groups behind in the one that it runs in.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from engine.environment import prepare_device


def main() -> None:
    """Of every prompt, the log-probability of one token; for each adapter, None being the model itself."""
    asked = json.load(sys.stdin)
    prepare_device("cpu")
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    llm = LLM(
        asked["model"], dtype="float32", enable_lora=True, max_loras=1, max_lora_rank=16,
        max_model_len=asked.get("length", 256),
        max_num_seqs=32, enforce_eager=True, enable_prefix_caching=False, kv_cache_memory_bytes=2**26,
        max_logprobs=512,
    )  # fmt: skip
    # By what comes next: of prompts' own tokens, vLLM's kernels for CPUs have no logits with an adapter.
    how = SamplingParams(max_tokens=1, temperature=0.0, logprobs=512, detokenize=False)
    prompts = [{"prompt_token_ids": prompt} for prompt, _ in asked["places"]]
    found = []
    for number, adapter in enumerate(asked["adapters"], 1):
        request = None if adapter is None else LoRARequest(str(number), number, adapter)
        given = llm.generate(prompts, how, lora_request=request, use_tqdm=False)
        pairs = zip(given, asked["places"], strict=True)
        found.append([one.outputs[0].logprobs[0][token].logprob for one, (_, token) in pairs])
    Path(asked["to"]).write_text(json.dumps(found), encoding="utf-8")
    llm.llm_engine.engine_core.shutdown()


if __name__ == "__main__":
    main()
