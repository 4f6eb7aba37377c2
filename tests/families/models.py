"""Tiny models with random weights, of every family, in numbers that every precision holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

WINDOW = 16  # tokens of sliding windows: prompts are longer
_SMALL: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "initializer_range": 0.08,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 2,
}
_WIDE = {**_SMALL, "intermediate_size": 256}
_GROUPED = {**_WIDE, "num_key_value_heads": 2}
_MIXED = {
    "sliding_window": WINDOW,
    "num_hidden_layers": 3,
    "layer_types": ["sliding_attention"] * 2 + ["full_attention"],
}
_GEMMA = {**_GROUPED, "head_dim": 32}
_GEMMA_2 = {**_GEMMA, "query_pre_attn_scalar": 32, "sliding_window": WINDOW, "num_hidden_layers": 3}
_OPT = {**_SMALL, "ffn_dim": 512, "word_embed_proj_dim": 128}
_VISION = {
    "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14,
}  # fmt: skip
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "opt": ("OPTConfig", _OPT),
    # As many blocks as OPT-13B has, which is what kernels are counted by.
    "opt-40": ("OPTConfig", {**_OPT, "num_hidden_layers": 40, "initializer_range": 0.04}),
    "llama": ("LlamaConfig", _GROUPED),
    "mistral": ("MistralConfig", {**_GROUPED, "sliding_window": WINDOW}),
    "qwen2": ("Qwen2Config", _GROUPED),
    "qwen3": ("Qwen3Config", {**_GROUPED, "head_dim": 32, "tie_word_embeddings": True}),
    "gemma": ("GemmaConfig", _GEMMA),
    "gemma2": ("Gemma2Config", {**_GEMMA_2, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}),
    "gemma3": ("Gemma3TextConfig", {**_GEMMA_2, **_MIXED}),
    # Older versions of vLLM take its MLP to be four times as wide as the rest, as it always is.
    "phi": ("PhiConfig", {**_SMALL, "intermediate_size": 512, "partial_rotary_factor": 0.5}),
    "phi3": ("Phi3Config", {**_GROUPED, "sliding_window": WINDOW}),
    "olmo2": ("Olmo2Config", _GROUPED),
    "smollm3": ("SmolLM3Config", {**_GROUPED, "no_rope_layers": [1, 0], "tie_word_embeddings": True}),
    "granite": (
        "GraniteConfig",
        {
            **_GROUPED, "logits_scaling": 4.0, "embedding_multiplier": 3.0, "residual_multiplier": 0.5,
            "attention_multiplier": 0.1,
        },
    ),
    "cohere": ("CohereConfig", {**_GROUPED, "logit_scale": 0.25}),
    # vLLM's window has one token more than transformers': longer than the prompts, the two mean the same.
    "cohere2": ("Cohere2Config", {**_GROUPED, **_MIXED, "logit_scale": 0.25, "head_dim": 32, "sliding_window": 128}),
    # One matrix in transformers, two in vLLM.
    "glm4": ("Glm4Config", {**_GEMMA, "partial_rotary_factor": 0.5}),
    "starcoder2": ("Starcoder2Config", {**_GROUPED, "sliding_window": WINDOW}),
    "gpt2": ("GPT2Config", _SMALL),
    # vLLM wraps all but its attention.
    "gpt-bigcode": ("GPTBigCodeConfig", {**_SMALL, "num_hidden_layers": 1, "multi_query": True}),
    "gpt-neox": ("GPTNeoXConfig", {**_WIDE, "rotary_pct": 0.5}),
    "qwen3-moe": (
        "Qwen3MoeConfig",
        {**_GEMMA, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 48, "norm_topk_prob": True},
    ),
    # A block without experts, and experts whose weights do not sum up to 1, beside one that every token has.
    "qwen2-moe": (
        "Qwen2MoeConfig",
        {
            **_GROUPED, "num_hidden_layers": 3, "mlp_only_layers": [1], "num_experts": 8, "num_experts_per_tok": 2,
            "moe_intermediate_size": 48, "shared_expert_intermediate_size": 96,
        },
    ),
    "mixtral": ("MixtralConfig", {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "olmoe": ("OlmoeConfig", {**_GROUPED, "intermediate_size": 48, "num_experts": 8, "num_experts_per_tok": 2}),
    "falcon": ("FalconConfig", {**_SMALL, "multi_query": True, "new_decoder_architecture": False}),
}  # fmt: skip
"""By name: a configuration's class in transformers, and its values."""
MULTIMODAL = {"gemma3-vision": ("Gemma3Config", SHAPES["gemma3"][1], _VISION)}
"""By name: as above, the values of the language model, and those of its vision tower."""
FAMILIES = [name for name in (*SHAPES, *MULTIMODAL) if name not in ("opt-40", "gpt-bigcode")]
_MIXTURES = ("qwen3-moe", "qwen2-moe", "mixtral", "olmoe")
_SINCE = {"gpt-neox": (0, 32), **dict.fromkeys(_MIXTURES, (0, 30))}
"""The first vLLM for the CPU that has LoRA for a family, or leaves its experts in the order that its files have."""


def lacking_here(name: str) -> str:
    """Why packed passes for a family are not to be had from the vLLM that is installed; empty if they are."""
    from engine.runtimes.vllm.support import version

    wanted = _SINCE.get(name, (0, 0))
    here = tuple(int(part) for part in version().split(".")[:2])
    return f"vLLM {version()} for the CPU is older than {'.'.join(map(str, wanted))}" if here < wanted else ""


def write_model(name: str, folder: Path) -> Path:
    """The folder of the model, made under `folder` unless it is there."""
    import transformers

    path = folder / name
    if (path / "config.json").exists():
        return path
    if name in MULTIMODAL:
        kind, text, vision = MULTIMODAL[name]
        config = getattr(transformers, kind)(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    else:
        kind, values = SHAPES[name]
        config = getattr(transformers, kind)(**values)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for parameter in model.parameters():
            if parameter.dim() == 1:  # biases and norms, which begin alike
                nn.init.normal_(parameter, parameter.mean().item(), 0.02)
            parameter.data = parameter.bfloat16().float()  # eight bits, which float16 holds too
    _write_tokenizer(path)
    model.save_pretrained(path)
    return path


def _write_tokenizer(path: Path) -> None:
    """vLLM reads one, and is given token ids."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({f"w{number}": number for number in range(_SMALL["vocab_size"])}, unk_token="w1"))
    special = {"unk_token": "w1", "pad_token": "w0", "bos_token": "w2", "eos_token": "w2"}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(path)
