"""A simulated NVIDIA card, on which vLLM's own CUDA code runs: nothing in this folder is real.

A tensor that is said to be on `cuda` lies in the host's memory and says that it is on `cuda:0`. vLLM's compiled kernels
are torch references that check what the real ones require; Triton kernels run in Triton's interpreter; a CUDA graph is
the list of what was launched. Kernels and waits are counted with the lines that cause them.

`install` comes before torch is imported, in a process of a CUDA wheel (`tests/rehearsal/wheels.py`). It imports none of
what it changes: the engine's own order of things stays as it is.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

LIBCUDA = "ZOTUI_SIMULATED_LIBCUDA"  # where the stub of the driver lies
CARD = "ZOTUI_SIMULATED_CARD"  # compute capability and memory in GiB, such as 9.0/140


def install() -> None:
    """Simulate the card that the environment names, in this process."""
    from tests.rehearsal.simulated import nvml
    from tests.rehearsal.simulated.after_import import after_import
    from tests.rehearsal.simulated.card import Card

    # What vLLM's compiled modules are linked against is missing where no driver is.
    ctypes.CDLL(os.environ[LIBCUDA], mode=ctypes.RTLD_GLOBAL)
    os.environ["TORCHDYNAMO_DISABLE"] = "1"  # what is compiled for a card is not part of the rehearsal
    card = Card.named(os.environ[CARD])
    nvml.install(card)

    def of_torch(torch: Any) -> None:
        from tests.rehearsal.simulated import graphs, memory, torch_cuda

        torch_cuda.install(card)
        graphs.install()
        memory.install()

    after_import(
        {
            "torch": of_torch,
            "triton.knobs": _later("triton_launches", "interpret"),
            "triton.backends.nvidia.driver": _later("triton_launches", "say_there_is_a_driver"),
            "triton.runtime.interpreter": _later("triton_launches", "take_over"),
            "vllm.utils.torch_utils": _later("vllm_parts", "count_what_python_does"),
            "vllm.platforms.cuda": _later("vllm_parts", "dispatch_to_references"),
            "vllm.v1.worker.gpu_model_runner": _later("vllm_parts", "need_no_compiler"),
            "vllm.model_executor.warmup.jit_warmup": _later("vllm_parts", "compile_nothing"),
            "vllm.model_executor.layers.fused_moe.experts.triton_moe": _later("vllm_parts", "define_experts"),
            **{module: _later("kernels", "install_from") for module in _COMPILED},
        }
    )


_COMPILED = (
    "vllm._C",
    "vllm._C_stable_libtorch",
    "vllm._moe_C",
    "vllm._moe_C_stable_libtorch",
    "vllm.vllm_flash_attn._vllm_fa2_C",
    "vllm.vllm_flash_attn._vllm_fa3_C",
)


def _later(module: str, function: str) -> Any:
    """A function of a module of this folder, which imports torch."""

    def change(imported: Any) -> None:
        from importlib import import_module

        getattr(import_module(f"tests.rehearsal.simulated.{module}"), function)(imported)

    return change
