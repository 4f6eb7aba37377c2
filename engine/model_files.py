"""What a model's own files say: its configuration, size, context and linear layers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

import torch
from torch import nn

from engine.directions import Matrix
from engine.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Positions that OPT's learned table keeps for padding are already left out of its context length.
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")

_NO_WEIGHTS = ("training_args.bin", "optimizer.bin", "scheduler.bin", "scaler.bin", "random_states_0.bin")


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

    Raises `UserError` if there is no such model, it is no causal language model, or it would run code of its own.
    """
    from transformers import AutoConfig

    if weights:
        _check_folder(path)
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise _explained(path, error, "cannot be read as a model") from None
    attention = getattr(config, "_attn_implementation", None)
    if isinstance(attention, str) and "/" in attention:  # a kernel that transformers would download and run
        raise UserError(
            f"model.path: {path}: its config.json asks for code from the hub (attn_implementation: {attention}); "
            "remove that line"
        )
    return facts_of(path, config, trust_remote_code=trust_remote_code)


def facts_of(path: str, config: Any, *, trust_remote_code: bool = False) -> ModelFacts:
    """What a configuration says, by the skeleton it describes. Raises `UserError` if that is no causal model."""
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            skeleton = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    except (ValueError, KeyError) as error:
        raise _explained(path, error, "is not a causal language model") from None
    text_config = config.get_text_config()
    dtype = getattr(config, "dtype", None)
    return ModelFacts(
        path=path,
        architecture=(config.architectures or [type(skeleton).__name__])[0],
        parameters=sum(p.numel() for p in skeleton.parameters()),
        context=context_of(config),
        matrices=linear_matrices(skeleton),
        dtype=dtype if isinstance(dtype, torch.dtype) else torch.float32,
        vocabulary=int(text_config.vocab_size),
        kv_elements_per_token=_kv_elements(text_config),
    )


def context_of(config: Any) -> int:
    """The longest sequence, in tokens, that a model of this transformers configuration takes."""
    text_config = config.get_text_config()
    return next((int(getattr(text_config, key)) for key in _CONTEXT_KEYS if getattr(text_config, key, None)), 2048)


def dtype_of(name: str) -> torch.dtype:
    """The torch dtype called `name`, such as "bfloat16"."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def read_tokenizer(path: str, *, trust_remote_code: bool) -> Any:
    """The model's tokenizer. Raises `UserError` if there is none, or it would run code of its own."""
    from transformers import AutoTokenizer
    from transformers.models.auto.tokenization_auto import get_tokenizer_config, tokenizer_class_from_name

    try:
        asked = get_tokenizer_config(path)
        known = tokenizer_class_from_name(asked.get("tokenizer_class") or "")
        if asked.get("auto_map") and known is None and not trust_remote_code:
            raise ValueError("without trust_remote_code it would be read as another one")
        return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise _explained(path, error, "has no usable tokenizer") from None


def weight_files(folder: Path) -> list[Path]:
    """The files with the weights of a model in `folder`: safetensors where there are any."""
    pickled = (path for path in folder.glob("*.bin") if path.name not in _NO_WEIGHTS)
    return sorted(folder.glob("*.safetensors")) or sorted(pickled)


def check_pickles(folder: Path) -> None:
    """Raise `UserError` if weights are pickles that hold more than weights, which unpickling would run.

    Whoever loads them later refuses to run it as well, but later, and in many words.
    """
    for path in weight_files(folder):
        if path.suffix == ".safetensors":
            return
        # Of a zip archive, what all but very old ones are, only the description of the tensors is read.
        how: dict[str, Any] = {"map_location": "meta", "mmap": True} if is_zipfile(path) else {"map_location": "cpu"}
        try:
            torch.load(path, weights_only=True, **how)
        except Exception as error:  # noqa: BLE001 - whatever a file that is something else may raise
            wanted = re.search(r"GLOBAL (\S+)", str(error))
            what = f"would run code ({wanted[1]})" if wanted else f"cannot be read ({_first_line(error)})"
            raise UserError(
                f"model.path: {folder}: {path.name} is a pickle that {what}; take the model in safetensors"
            ) from None


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


def _explained(path: str, error: Exception, what: str) -> UserError:
    """What transformers refused, in our words where it is for the sake of safety."""
    if "trust_remote_code" in str(error):
        return UserError(
            f"model.path: {path}: brings Python code of its own, which is not run; if you have read it and trust it, "
            "--set model.trust_remote_code=true"
        )
    return UserError(f"model.path: {path}: {what}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
