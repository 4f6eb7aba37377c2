"""Tiny models with random weights, of the architectures that are rehearsed, in numbers that every precision holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

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
_GROUPED = {**_SMALL, "intermediate_size": 256, "num_key_value_heads": 2}
_GEMMA = {**_GROUPED, "head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 16, "num_hidden_layers": 3}
_OPT = {**_SMALL, "ffn_dim": 512, "word_embed_proj_dim": 128}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "opt": ("OPTConfig", _OPT),
    # As many blocks as OPT-13B has, which is what kernels are counted by.
    "opt-40": ("OPTConfig", {**_OPT, "num_hidden_layers": 40, "initializer_range": 0.04}),
    "llama": ("LlamaConfig", _GROUPED),
    "qwen3": ("Qwen3Config", {**_GROUPED, "head_dim": 32, "tie_word_embeddings": True}),
    "gemma": ("GemmaConfig", {**_GROUPED, "head_dim": 32}),
    "gemma2": ("Gemma2Config", _GEMMA),
    "gemma3": ("Gemma3TextConfig", {**_GEMMA, "layer_types": ["sliding_attention"] * 2 + ["full_attention"]}),
}
"""By name: a configuration's class in transformers, and its values."""


def write_model(name: str, folder: Path) -> Path:
    """The folder of the model, made under `folder` unless it is there."""
    import transformers

    path = folder / name
    if (path / "config.json").exists():
        return path
    kind, values = SHAPES[name]
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, kind)(**values), dtype=torch.float32)
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
