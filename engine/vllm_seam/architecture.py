"""Whether vLLM can adapt an architecture, known before a model is loaded."""

from __future__ import annotations

from vllm import ModelRegistry
from vllm.model_executor.models.interfaces import supports_lora


def adaptable(architecture: str) -> bool:
    """Whether vLLM has this architecture with LoRA support.

    Registers the class that it looks at. vLLM would otherwise inspect it in a subprocess, which knows
    nothing of the libraries that this process treats as absent (`engine.environment`).
    """
    lazy = ModelRegistry.models.get(architecture)
    if lazy is None:
        return False
    model_class = lazy.load_model_cls()
    ModelRegistry.register_model(architecture, model_class)
    return bool(supports_lora(model_class))
