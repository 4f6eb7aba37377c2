"""Whether a model can be tuned here at all, by its configuration and its files' headers, before anything is loaded.

A preflight and a run ask the same.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.errors import UserError
from engine.models.headers import TensorHeader, check_index, check_whole, read_header, read_index, read_object

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_SAFETENSORS = "model.safetensors"
_PICKLE = "pytorch_model.bin"
_OFFICIAL = "consolidated*.safetensors"  # Mistral's own, which vLLM prefers
_TOKENIZER = (
    "tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tiktoken.model", "vocab.json",
    "merges.txt", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip
_IN_SAFETENSORS = "take the model in safetensors"
_WHOLE_PRECISION = "take the model in bfloat16, float16 or float32"
# What libraries add to the name of a matrix that they have quantised: GPTQ and AWQ, compressed-tensors, bitsandbytes.
_QUANTISED = re.compile(
    r"\.(qweight|weight_packed|weight_scale|weight_scale_inv|weight\.absmax|weight\.quant_state\..*)"
)
_NOT_QUANTISED = ("F16", "BF16", "F32", "F64")


def read_config(path: str) -> dict[str, Any]:
    """A model's config.json as it is written, of a folder or a hub id. Raises `UserError`, `OSError`, `ValueError`."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        return read_object(f"model.path: {path}", folder / "config.json")
    from transformers import PreTrainedConfig

    return dict(PreTrainedConfig.get_config_dict(path)[0])


def check_config(path: str, config: dict[str, Any]) -> None:
    """Raise `UserError` for a configuration that no run can start on."""
    where = f"model.path: {path}"
    texts = [
        config,
        *(part for part in (config.get("text_config"), config.get("llm_config")) if isinstance(part, dict)),
    ]
    for part in texts:
        for key in ("quantization_config", "compression_config"):
            if part.get(key) == {}:
                raise UserError(f"{where}: its config.json has an empty {key}, which no library reads; remove it")
            if part.get(key):
                raise UserError(f"{where}: its weights are quantised ({_method(part[key])}); {_WHOLE_PRECISION}")
        for key in ("dtype", "torch_dtype"):
            if (said := part.get(key)) is not None and said not in (*DTYPES, "float64"):
                known = said.removeprefix("torch.") if isinstance(said, str) else ""
                remedy = f'write "{known}"' if known in DTYPES else f"write one of {', '.join(DTYPES)}"
                raise UserError(
                    f'{where}: its config.json has "{key}": {said!r}, which is no type of weights; {remedy}'
                )
    if config.get("is_encoder_decoder"):
        raise UserError(
            f"{where}: is an encoder-decoder model ({config.get('model_type')}); take a causal language model"
        )
    named = config.get("architectures")
    if named is not None and not (isinstance(named, list) and all(isinstance(name, str) for name in named)):
        raise UserError(f"{where}: its config.json has architectures: {named!r}, which is no list of names")


def check_padding(path: str, config: PreTrainedConfig) -> None:
    """Raise `UserError` for padding beyond the vocabulary, which some models of transformers cannot be built with."""
    said = config.get_text_config()
    pad, words = getattr(said, "pad_token_id", None), getattr(said, "vocab_size", None)
    if isinstance(pad, int) and isinstance(words, int) and pad >= words:
        raise UserError(
            f"model.path: {path}: its config.json has pad_token_id {pad}, beyond its vocabulary of {words:,}; "
            "set it to null"
        )


def check_kind(path: str, model: PreTrainedModel) -> None:
    """Raise `UserError` unless `model`, a skeleton, is a causal language model with attention throughout."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    where, config, own = f"model.path: {path}", model.config, type(model).__name__
    kinds = getattr(config.get_text_config(), "layer_types", None) or ()
    if getattr(model, "_is_stateful", False) or any(re.search("linear|conv|mamba|recurrent", kind) for kind in kinds):
        raise UserError(
            f"{where}: {own} has layers with a running state (state-space or linear attention), in which probes cannot "
            "share a prompt; take a model with attention in every layer"
        )
    causal = {module.is_causal for module in model.modules() if isinstance(getattr(module, "is_causal", None), bool)}
    if causal == {False} and getattr(config, "is_decoder", None) is False:
        raise UserError(f"{where}: {own} reads in both directions, it is an encoder; take a causal language model")
    if not type(model).__module__.startswith("transformers."):  # its own code says what it is
        return
    first = next(iter(config.architectures or ()), own)
    if first.lower() == own.lower() or first == type(model.base_model).__name__:
        return  # without a head by its name, whose weights may be there all the same: `engine.models.missing` looks
    if first in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values():
        raise UserError(
            f"{where}: its config.json contradicts itself: architectures has {first}, but model_type "
            f"{config.model_type!r} is {own}; correct one of them"
        )
    if not first.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")):
        raise UserError(f"{where}: holds {first}, which is no causal language model; take one (here {own} would be)")


def check_folder(path: str) -> dict[str, TensorHeader]:
    """The tensors that transformers would read from a model's folder, by its safetensors files.

    Of pickles nothing is read (`engine.models.weights.read_pickles` does): the result is empty. Raises `UserError`
    where a file is missing, cut off, a pointer or no such file at all; where the libraries would read different files;
    and for quantised weights.
    """
    where, folder = f"model.path: {path}", Path(path).expanduser()
    for name in ("config.json", *_TOKENIZER):
        if (folder / name).exists() or (folder / name).is_symlink():
            check_whole(where, folder / name)
    if (folder / "adapter_config.json").is_file():  # transformers would load what that names instead
        raise UserError(f"{where}: holds an adapter (adapter_config.json); give the folder of a whole model")
    if (folder / "hf_quant_config.json").is_file():
        raise UserError(f"{where}: its weights are quantised (hf_quant_config.json); {_WHOLE_PRECISION}")
    single, index = folder / _SAFETENSORS, folder / f"{_SAFETENSORS}.index.json"
    files = _listed(folder, "*.safetensors")
    if not files:
        _check_pickled(where, folder)
        return {}
    named = read_index(where, index) if index.exists() else {}
    if named and single in files and single.name not in named.values():
        raise UserError(
            f"{where}: holds two models: {single.name}, and the files that {index.name} names; move one of them away"
        )
    official = set(_listed(folder, _OFFICIAL))
    if not named and single not in files:
        raise UserError(f"{where}: has neither {single.name} nor {index.name}, which says what {files[0].name} holds")
    read = [file for file in files if file.name in named.values()] if named else [single]
    found = {file.name: read_header(where, file) for file in read}
    for file in official - set(read):
        read_header(where, file)
    if named:
        check_index(where, index, named, {name: set(header) for name, header in found.items()})
    tensors = {name: tensor for header in found.values() for name, tensor in header.items()}
    _refuse_quantised(where, tensors)
    return tensors


def unnamed_files(folder: Path) -> list[str]:
    """The safetensors files that lie beside a model's one, and that nothing says are of its weights."""
    files = {file.name for file in _listed(folder, "*.safetensors")}
    if _SAFETENSORS not in files or (folder / f"{_SAFETENSORS}.index.json").exists():
        return []
    return sorted(files - {_SAFETENSORS} - {file.name for file in _listed(folder, _OFFICIAL)})


def _check_pickled(where: str, folder: Path) -> None:
    """Raise `UserError` unless the folder has weights as pickles, all of them."""
    single, index = folder / _PICKLE, folder / f"{_PICKLE}.index.json"
    named = set(read_index(where, index).values()) if index.exists() and not single.exists() else {single.name}
    if single.exists() or index.exists():
        for name in sorted(named):
            if not (folder / name).is_symlink() and not (folder / name).exists():
                raise UserError(f"{where}: {name} is missing, which {index.name} names; download the rest")
            check_whole(where, folder / name)
        return
    if there := _listed(folder, "*.gguf"):
        raise UserError(
            f"{where}: its weights are in GGUF ({there[0].name}), which is for llama.cpp; {_IN_SAFETENSORS}"
        )
    if there := [
        file for ending in ("*.bin", "*.pt", "*.pth", "*.msgpack", "*.h5") for file in _listed(folder, ending)
    ]:
        raise UserError(
            f"{where}: no weights in this folder that transformers reads ({there[0].name}); {_IN_SAFETENSORS}"
        )
    raise UserError(f"{where}: no weights in this folder (model.safetensors or {_PICKLE})")


def _listed(folder: Path, pattern: str) -> list[Path]:
    """Files of a pattern, broken links as well; whatever the folder's own name, it is no pattern."""
    return sorted(folder.glob(pattern))


def _refuse_quantised(where: str, tensors: dict[str, TensorHeader]) -> None:
    for name, tensor in tensors.items():
        if _QUANTISED.search(name) or (name.endswith(".weight") and tensor.dtype not in _NOT_QUANTISED):
            raise UserError(f"{where}: its weights are quantised ({name} is {tensor.dtype}); {_WHOLE_PRECISION}")


def _method(said: Any) -> str:
    """What a quantisation calls itself."""
    if not isinstance(said, dict):
        return str(said)[:40]
    method = str(said.get("quant_method") or said.get("quant_algo") or said.get("format") or "unknown method")
    loaded = [
        key.removeprefix("load_in_").removesuffix("bit") for key, on in said.items() if on is True and "load_in" in key
    ]
    bits = said.get("bits") or next(iter(loaded), None)
    return f"{method}, {bits} bits" if bits else method
