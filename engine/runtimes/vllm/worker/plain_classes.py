"""Transformers' classes stay as they are where vLLM runs a model by them.

vLLM decorates the class itself for torch.compile, which zotui does not use: from then on the process can make no such
model for the conventional loop, nor a skeleton of one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_WHERE = "vllm.model_executor.models.transformers.base"


@contextmanager
def plain_classes() -> Iterator[None]:
    """Within this, models are loaded without decorating their classes; do it around all loading."""
    module = sys.modules.get(_WHERE)  # imported by who asked whether the model can be adapted, if it is such a one
    decorate = getattr(module, "support_torch_compile", None)
    if module is None or decorate is None:
        yield
        return
    module.support_torch_compile = _leave_alone  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.support_torch_compile = decorate  # type: ignore[attr-defined]


def _leave_alone(**settings: Any) -> Callable[[Any], Any]:
    return lambda model_class: model_class
