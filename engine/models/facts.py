"""What a model's own files say: its configuration, size, context and linear layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from engine.errors import UserError, first_line
from engine.models.experts import expert_weights
from engine.models.weights import Matrix, weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Positions that OPT's learned table keeps for padding are already left out of its context length.
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")


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
    experts_per_token: int = 0  # of a mixture

    def kv_bytes_per_token(self, dtype: str) -> int:
        """KV-cache bytes that one token takes."""
        return self.kv_elements_per_token * dtype_of(dtype).itemsize


def read_model(path: str, *, trust_remote_code: bool, weights: bool = True, experts: bool = True) -> ModelFacts:
    """Read a model's configuration and build its skeleton; `weights` says whether its folder must hold some.

    `experts`: whether those of a mixture are in scope, as they are but in runs of versions that left them still.

    Raises `UserError` if there is no such model, it is no causal language model, or it would run code of its own.
    """
    from transformers import AutoConfig

    if weights:
        _check_folder(path)
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise explained(path, error, "cannot be read as a model") from None
    attention = getattr(config, "_attn_implementation", None)
    if isinstance(attention, str) and "/" in attention:  # a kernel that transformers would download and run
        raise UserError(
            f"model.path: {path}: its config.json asks for code from the hub (attn_implementation: {attention}); "
            "remove that line"
        )
    return facts_of(path, config, trust_remote_code=trust_remote_code, experts=experts)


def facts_of(path: str, config: Any, *, trust_remote_code: bool = False, experts: bool = True) -> ModelFacts:
    """What a configuration says, by the skeleton it describes. Raises `UserError` if that is no causal model."""
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            skeleton = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    except (ValueError, KeyError) as error:
        raise explained(path, error, "is not a causal language model") from None
    text_config = config.get_text_config()
    dtype = getattr(config, "dtype", None)
    return ModelFacts(
        path=path,
        architecture=(config.architectures or [type(skeleton).__name__])[0],
        parameters=sum(p.numel() for p in skeleton.parameters()),
        context=context_of(config),
        matrices=[matrix for matrix, _ in weights_in_scope(skeleton, experts=experts)],
        dtype=dtype if isinstance(dtype, torch.dtype) else torch.float32,
        vocabulary=int(text_config.vocab_size),
        kv_elements_per_token=_kv_elements(text_config),
        experts_per_token=getattr(text_config, "num_experts_per_tok", None) or 0,
    )


def context_of(config: Any) -> int:
    """The longest sequence, in tokens, that a model of this transformers configuration takes."""
    text_config = config.get_text_config()
    return next((int(getattr(text_config, key)) for key in _CONTEXT_KEYS if getattr(text_config, key, None)), 2048)


def dtype_of(name: str) -> torch.dtype:
    """The torch dtype called `name`, such as "bfloat16"."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def weights_in_scope(model: PreTrainedModel, *, experts: bool = True) -> list[tuple[Matrix, torch.Tensor]]:
    """Scope `linear`: every linear layer of the blocks, the output head left out, and the experts of a mixture.

    Each with its weight, (rows, cols); that of an expert is a part of a parameter. Of a model that sees or hears as
    well they are those of its language model. A mixture's router stands still: a small step of it sends tokens
    elsewhere, and losses jump.
    """
    from transformers.pytorch_utils import Conv1D

    head: nn.Module | None = model.get_output_embeddings()
    reads = {id(module) for module in model.get_decoder().modules()}
    found = []
    for name, module in model.named_modules():
        if module is head or id(module) not in reads:
            continue
        if isinstance(module, nn.Linear):
            found.append((Matrix(f"{name}.weight", module.out_features, module.in_features), module.weight.data))
        elif isinstance(module, Conv1D):
            found.append((Matrix(f"{name}.weight", module.nf, module.nx, transposed=True), module.weight.data.T))
    return [*found, *(expert_weights(model) if experts else ())]


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
        if not weight_files(folder):
            raise UserError(f"model.path: {path}: no weights in this folder (*.safetensors or *.bin)")
        if (folder / "adapter_config.json").is_file():  # transformers would load what that names instead
            raise UserError(
                f"model.path: {path}: holds an adapter (adapter_config.json); give the folder of a whole model"
            )
        return
    looks_local = path.startswith(("/", "./", "../", "~")) or path.count("/") > 1 or folder.exists()
    if looks_local:
        raise UserError(f"model.path: {path}: no such folder; give the folder of a model or a hub id")


def explained(path: str, error: Exception, what: str) -> UserError:
    """What transformers refused, in our words where it is for the sake of safety."""
    if "trust_remote_code" in str(error):
        return UserError(
            f"model.path: {path}: brings Python code of its own, which is not run; if you have read it and trust it, "
            "--set model.trust_remote_code=true"
        )
    return UserError(f"model.path: {path}: {what}: {first_line(error)}")
