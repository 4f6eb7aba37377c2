"""What a model's own files say: its configuration, size, context and linear layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from engine.directions import Matrix
from engine.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Positions that OPT's learned table keeps for padding are already left out of its context length.
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")

_WEIGHTS = ("*.safetensors", "*.bin")


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model before its weights are loaded."""

    path: str
    architecture: str
    parameters: int
    context: int  # tokens
    matrices: list[Matrix]
    dtype: torch.dtype  # the files' own
    vocabulary: int
    kv_elements_per_token: int  # keys and values of every layer

    def kv_bytes_per_token(self, dtype: str) -> int:
        """KV-cache bytes that one token takes."""
        return self.kv_elements_per_token * dtype_of(dtype).itemsize


def read_model(path: str, *, trust_remote_code: bool, weights: bool = True) -> ModelFacts:
    """Read a model's configuration and build its skeleton; `weights` says whether its folder must hold some.

    Raises `UserError` if there is no such model or it is no causal language model.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    if weights:
        _check_folder(path)
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise UserError(f"model.path: {path}: cannot be read as a model: {_first_line(error)}") from None
    try:
        with torch.device("meta"):
            skeleton = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    except (ValueError, KeyError) as error:
        raise UserError(f"model.path: {path}: is not a causal language model: {_first_line(error)}") from None
    text_config = config.get_text_config()
    context = next((int(getattr(text_config, key)) for key in _CONTEXT_KEYS if getattr(text_config, key, None)), 2048)
    dtype = getattr(config, "dtype", None)
    return ModelFacts(
        path=path,
        architecture=(config.architectures or [type(skeleton).__name__])[0],
        parameters=sum(p.numel() for p in skeleton.parameters()),
        context=context,
        matrices=linear_matrices(skeleton),
        dtype=dtype if isinstance(dtype, torch.dtype) else torch.float32,
        vocabulary=int(text_config.vocab_size),
        kv_elements_per_token=_kv_elements(text_config),
    )


def dtype_of(name: str) -> torch.dtype:
    """The torch dtype called `name`, such as "bfloat16"."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def read_tokenizer(path: str, *, trust_remote_code: bool) -> Any:
    """The model's tokenizer. Raises `UserError` if there is none."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"model.path: {path}: has no usable tokenizer: {_first_line(error)}") from None


def linear_matrices(model: PreTrainedModel) -> list[Matrix]:
    """Scope `linear`: the weights of every linear layer of the blocks, the output head left out."""
    head: nn.Module | None = model.get_output_embeddings()
    return [
        Matrix(f"{name}.weight", module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    ]


def _kv_elements(config: Any) -> int:
    heads = config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    return int(2 * config.num_hidden_layers * kv_heads * head_size)


def _check_folder(path: str) -> None:
    """A local path must hold a model; anything with one slash at most may also be a hub id."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"model.path: {path}: no config.json in this folder; give the folder of a model")
        if not any(any(folder.glob(pattern)) for pattern in _WEIGHTS):
            raise UserError(f"model.path: {path}: no weights in this folder (*.safetensors or *.bin)")
        return
    looks_local = path.startswith(("/", "./", "../", "~")) or path.count("/") > 1 or folder.exists()
    if looks_local:
        raise UserError(f"model.path: {path}: no such folder; give the folder of a model or a hub id")


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
