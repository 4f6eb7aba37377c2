"""Whether vLLM serves here, and whether it can adapt an architecture: known before a model is loaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from engine.errors import UserError, first_line
from engine.models.weights import Matrix


class CannotAdapt(UserError):
    """vLLM takes the model, but cannot adapt all that is to move: known only when it is loaded."""


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


def check_matrices(wanted: Sequence[Matrix], adaptable: Sequence[Matrix]) -> None:
    """Raise `CannotAdapt` unless the two are the same."""
    if set(wanted) != set(adaptable):
        missing = sorted({m.name for m in wanted} - {m.name for m in adaptable})
        example = missing[0] if missing else sorted(m.name for m in set(adaptable) ^ set(wanted))[0]
        raise CannotAdapt(
            f"model.path: vLLM cannot adapt {max(1, len(missing))} of the model's {len(wanted)} linear layers "
            f"(such as {example}); use --set model.runtime=training-loop"
        )
