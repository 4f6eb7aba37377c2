"""Whether vLLM serves here, and whether it can adapt an architecture: known before a model is loaded."""

from __future__ import annotations

import glob
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.errors import UserError, first_line
from engine.models.facts import ModelFacts
from engine.models.suitable import unnamed_files
from engine.models.weights import Matrix
from engine.stdio import hushed

#: How every `CannotAdapt` ends.
REMEDY = "; use --set model.runtime=training-loop"


class CannotAdapt(UserError):
    """vLLM does not load the model, or cannot adapt all that is to move: known only when it is loaded."""


def problem(device: str) -> str:
    """Why vLLM cannot run on `device` here (`cpu` or `cuda:N`), as a clause; empty if it can."""
    if importlib.util.find_spec("vllm") is None:
        return "vLLM is not installed"
    try:
        import vllm
        from vllm.platforms import current_platform
    except Exception as error:  # noqa: BLE001 - any fault of an installation, from a missing library to a bad build
        return f"vLLM does not load ({type(error).__name__}: {first_line(error)[:120]})"
    if importlib.util.find_spec("vllm.v1.worker.gpu_model_runner") is None:  # on CPU it is what this is made of
        return f"this vLLM ({vllm.__version__}) has no V1 model runner, which zotui is written against"
    kind, built_for = device.partition(":")[0], current_platform.device_type
    if built_for == kind:
        return ""
    return f"this vLLM ({vllm.__version__}) is built for {built_for or 'no device'}, not {kind}"


def version() -> str:
    """Of the vLLM that is installed."""
    import vllm

    return str(vllm.__version__)


def unadaptable(architecture: str) -> str:
    """Why vLLM cannot adapt this architecture here, as a clause; empty if it can.

    Registers the class that it looks at. vLLM would otherwise inspect it in a subprocess, which knows
    nothing of the libraries that this process treats as absent (`engine.environment`).
    """
    from vllm import ModelRegistry
    from vllm.model_executor.models.interfaces import supports_lora

    without = f"vLLM has no LoRA support for {architecture}"
    lazy = ModelRegistry.models.get(architecture)
    if lazy is None:
        return without
    try:
        model_class = lazy.load_model_cls()
    except Exception as error:  # noqa: BLE001 - whatever its imports may raise: many read images by torchvision
        return f"vLLM's {architecture} does not load here ({type(error).__name__}: {first_line(error)[:120]})"
    ModelRegistry.register_model(architecture, model_class)
    return "" if supports_lora(model_class) else without


def without_heads(head_size: int, device: str) -> str:
    """Why vLLM's attention on `device` cannot serve heads of this size, as a clause; empty if it can."""
    if device != "cpu":
        return ""  # FlexAttention, its last resort there, takes any
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    known = sorted(CPUAttentionBackend.get_supported_head_sizes())
    if not known or head_size in known:
        return ""
    return (
        f"its attention heads have {head_size} dimensions, vLLM on {device} has code for {', '.join(map(str, known))}"
    )


def refusal(facts: ModelFacts, dtype: str, *, trust_remote_code: bool, begun: bool = False) -> str:
    """Why vLLM would refuse a model's folder by its configuration, such as Gemma 3 in float16, or nothing.

    `begun`: whether a run has taken steps with what vLLM reads there.
    """
    from vllm.engine.arg_utils import EngineArgs

    # It lists the files by the folder's name as a pattern, and may find those of another folder.
    if glob.has_magic(facts.path):
        return "vLLM reads *, ? and [ in a folder's name as a pattern; rename the folder"
    folder = Path(facts.path)
    if any(folder.glob("*/**/consolidated*.safetensors")) and not any(folder.glob("consolidated*.safetensors")):
        return "vLLM would look for consolidated*.safetensors, which is in a folder within; move that folder away"
    if not begun and (others := unnamed_files(folder)):
        return f"vLLM would read {others[0]} beside model.safetensors as weights; move it away"
    asked = EngineArgs(**model_arguments(facts, dtype, trust_remote_code), skip_tokenizer_init=True)
    try:
        with hushed():
            asked.create_model_config()
    except ValidationError as error:
        return f"vLLM refuses it: {reason(error)}"
    return ""


def model_arguments(facts: ModelFacts, dtype: str, trust_remote_code: bool) -> dict[str, Any]:
    """What vLLM is told of the model, whoever asks."""
    own = {} if facts.names_architecture else {"hf_overrides": {"architectures": [facts.architecture]}}
    return {"model": facts.path, "dtype": dtype, "seed": 0, "trust_remote_code": trust_remote_code, **own}


def reason(error: ValidationError) -> str:
    """What vLLM says of a setting that it refuses, in a line."""
    return str(error.errors()[0]["msg"]).removeprefix("Value error, ").partition("\n")[0][:300].rstrip(". ")


def check_matrices(wanted: Sequence[Matrix], adaptable: Sequence[Matrix]) -> None:
    """Raise `CannotAdapt` unless the two are the same."""
    if set(wanted) != set(adaptable):
        missing = sorted({m.name for m in wanted} - {m.name for m in adaptable})
        example = missing[0] if missing else sorted(m.name for m in set(adaptable) ^ set(wanted))[0]
        raise CannotAdapt(
            f"model.path: vLLM cannot adapt {max(1, len(missing))} of the model's {len(wanted)} linear layers "
            f"(such as {example}){REMEDY}"
        )
