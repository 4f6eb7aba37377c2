"""What a model's own files say: its configuration, size, context and linear layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from engine.errors import UserError, first_line
from engine.models.experts import expert_weights, of_expert, stacked_weights
from engine.models.headers import TensorHeader, own_precision
from engine.models.still import Still, still_of
from engine.models.suitable import DTYPES, check_config, check_folder, check_kind, check_padding, read_config
from engine.models.weights import Matrix
from engine.stdio import hushed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Scope = Literal["linear", "all", "adapter"]

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
    head_size: int  # of attention
    still: Still  # parameters that do not move
    scope: Scope = "linear"  # which of its parameters move
    beside: list[Matrix] = field(default_factory=list)  # in scope `all`, all that is none of the matrices
    names_architecture: bool = True  # whether its configuration does
    experts_per_token: int = 0  # of a mixture

    @property
    def moving(self) -> list[Matrix]:
        """Those of its parameters that move: none where an adapter does."""
        return [] if self.scope == "adapter" else [*self.matrices, *self.beside]

    def kv_bytes_per_token(self, dtype: str) -> int:
        """KV-cache bytes that one token takes."""
        return self.kv_elements_per_token * dtype_of(dtype).itemsize


def read_model(
    path: str,
    *,
    trust_remote_code: bool,
    weights: bool = True,
    experts: bool = True,
    headers: Mapping[str, TensorHeader] | None = None,
    scope: Scope = "linear",
) -> ModelFacts:
    """Read a model's configuration and build its skeleton; `weights` says whether its folder must hold some.

    `headers`: what `read_headers` read there, if it has. `experts`: whether those of a mixture are in scope, as they
    are but in runs of versions that left them still. `scope`: the method's, which decides what stands still.

    Raises `UserError` if there is no such model, it is no causal language model, it would run code of its own, or no
    run can start on it (`engine.models.suitable`).
    """
    from transformers import AutoConfig

    found = (read_headers(path) if weights else {}) if headers is None else headers
    try:
        check_config(path, read_config(path))
        with hushed():
            config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    except _odd() as error:
        raise explained(path, error, "cannot be read as a model") from None
    attention = getattr(config, "_attn_implementation", None)
    if isinstance(attention, str) and "/" in attention:  # a kernel that transformers would download and run
        raise UserError(
            f"model.path: {path}: its config.json asks for code from the hub (attn_implementation: {attention}); "
            "remove that line"
        )
    return facts_of(path, config, trust_remote_code=trust_remote_code, experts=experts, headers=found, scope=scope)


def facts_of(
    path: str,
    config: Any,
    *,
    trust_remote_code: bool = False,
    experts: bool = True,
    headers: Mapping[str, TensorHeader] = MappingProxyType({}),
    scope: Scope = "linear",
) -> ModelFacts:
    """What a configuration says, by the skeleton it describes; and `headers`, where it does not say the precision.

    Raises `UserError` if that is no causal model, or none of which anything would move.
    """
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"), hushed():
            skeleton = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
        check_kind(path, skeleton)
        text_config = config.get_text_config()
        sizes = {
            "context": context_of(config),
            "kv_elements_per_token": _kv_elements(text_config),
            "head_size": _head_size(text_config),
        }
    except _odd() as error:
        check_padding(path, config)
        raise explained(path, error, "is not a causal language model") from None
    matrices = [matrix for matrix, _ in weights_in_scope(skeleton, experts=experts)]
    beside = [matrix for matrix, _ in weights_beside(skeleton, matrices)] if scope == "all" else []
    if not matrices:
        raise UserError(
            f"model.path: {path}: nothing of it would move: {type(skeleton).__name__} has no linear layers; "
            "take another model"
        )
    named = next(iter(config.architectures or ()), "")
    if named == type(skeleton.base_model).__name__:  # the part below the head, which vLLM would load without it
        named = ""
    return ModelFacts(
        path=path,
        architecture=named or type(skeleton).__name__,
        parameters=sum(p.numel() for p in skeleton.parameters()),
        matrices=matrices,
        dtype=_dtype_of(config, headers),
        vocabulary=int(text_config.vocab_size),
        still=still_of(skeleton, [] if scope == "adapter" else [*matrices, *beside]),
        scope=scope,
        beside=beside,
        names_architecture=bool(named),
        experts_per_token=getattr(text_config, "num_experts_per_tok", None) or 0,
        **sizes,
    )


def _dtype_of(config: Any, headers: Mapping[str, TensorHeader]) -> torch.dtype:
    """The precision of the weights; what is none that a run computes in is read as float32."""
    said = getattr(config, "dtype", None)
    if said is None and headers:
        said = own_precision(headers)
    return said if isinstance(said, torch.dtype) and said in DTYPES.values() else torch.float32


def _odd() -> tuple[type[Exception], ...]:
    """What transformers may raise for a configuration that makes no sense, its own kinds apart."""
    from huggingface_hub.errors import StrictDataclassError

    return (
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        ArithmeticError,
        RuntimeError,
        AssertionError,
        ImportError,
        StrictDataclassError,
    )


def context_of(config: Any) -> int:
    """The longest sequence, in tokens, that a model of this transformers configuration takes."""
    text_config = config.get_text_config()
    return next((int(getattr(text_config, key)) for key in _CONTEXT_KEYS if getattr(text_config, key, None)), 2048)


def dtype_of(name: str) -> torch.dtype:
    """The torch dtype called `name`, such as "bfloat16"."""
    return DTYPES[name]


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


def weights_beside(model: PreTrainedModel, matrices: Sequence[Matrix]) -> list[tuple[Matrix, torch.Tensor]]:
    """What scope `all` has beside these, of scope `linear`: embeddings, head, norms, biases, a mixture's router.

    Tied ones once, under the name that comes first, and as (rows, cols) each. Of a model that sees or hears as well
    those of its language model; of experts that are among `matrices`, not the parameters that hold them all.
    """
    named = {matrix.name for matrix in matrices}
    stacked = {id(weight) for weight in stacked_weights(model)} if any(map(of_expert, named)) else set()
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    reads = {id(one) for part in (model.get_decoder(), *ends) if part is not None for one in part.parameters()}
    found = []
    for name, parameter in model.named_parameters():
        if name in named or id(parameter) in stacked or id(parameter) not in reads:
            continue
        shape = tuple(parameter.shape)
        rows = shape[0] if shape else 1
        matrix = Matrix(name, rows, parameter.numel() // rows, whole=shape if len(shape) != 2 else ())
        found.append((matrix, matrix.of(parameter.data)))
    return found


def _kv_elements(config: Any) -> int:
    kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    return int(2 * config.num_hidden_layers * kv_heads * _head_size(config))


def _head_size(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def read_headers(path: str) -> dict[str, TensorHeader]:
    """What the headers of a local model say; anything with one slash at most may also be a hub id, and says nothing.

    Raises `UserError` as `engine.models.suitable.check_folder`, and where there is no such folder.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"model.path: {path}: no config.json in this folder; give the folder of a model")
        return check_folder(path)
    looks_local = path.startswith(("/", "./", "../", "~")) or path.count("/") > 1 or folder.exists()
    if looks_local:
        gguf = "; a GGUF file is for llama.cpp" if folder.suffix == ".gguf" and folder.exists() else ""
        raise UserError(f"model.path: {path}: no such folder; give the folder of a model or a hub id{gguf}")
    return {}


def explained(path: str, error: Exception, what: str) -> UserError:
    """What transformers refused, in our words where it is for the sake of safety."""
    if "trust_remote_code" in str(error):
        return UserError(
            f"model.path: {path}: brings Python code of its own, which is not run; if you have read it and trust it, "
            "--set model.trust_remote_code=true"
        )
    text = str(error).strip().splitlines()
    # Of a check of types the first line names the key alone; what is none of these two says little without its kind.
    said = " ".join(text[:2])[:300] if text and text[0].endswith(":") else first_line(error)
    kind = "" if isinstance(error, (OSError, ValueError)) or len(text) > 1 else f"{type(error).__name__}: "
    return UserError(f"model.path: {path}: {what}: {kind}{said}")
