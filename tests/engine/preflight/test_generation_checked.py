"""A run whose evaluations could not generate is refused before anything is loaded."""

from __future__ import annotations

import pytest

from engine.errors import UserError
from engine.preflight.checks import check_generation
from engine.tasks.example import Example
from engine.tasks.load import Task

ASKED = Example((1,), ((2,),), 0, answers=("yes",))
SILENT = Example((1,), ((2,),), 0)


def test_float32_on_a_gpu_generates_nothing_in_vllm() -> None:
    task = Task("lm", [SILENT], [SILENT, ASKED], [])
    with pytest.raises(UserError, match=r"task\.generate_examples: vLLM generates no text from float32") as refusal:
        check_generation(task, runtime="vllm", device="cuda:0", dtype="float32")
    assert "\n" not in str(refusal.value)
    for runtime, device, dtype in [
        ("training-loop", "cuda", "float32"), ("vllm", "cpu", "float32"), ("vllm", "cuda", "bfloat16"),
    ]:  # fmt: skip
        check_generation(task, runtime=runtime, device=device, dtype=dtype)
    check_generation(Task("lm", [SILENT], [SILENT], []), runtime="vllm", device="cuda", dtype="float32")
