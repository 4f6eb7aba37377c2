"""What of vLLM itself is not what runs on a card, each put in place when its module was imported."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch

from tests.rehearsal.simulated import lora, memory


def count_what_python_does(torch_utils: Any) -> None:
    """`vllm.utils.torch_utils`: an operator that vLLM writes in Python is counted by what it does.

    Those of `lora` are one kernel each.
    """
    register, functions = torch_utils.direct_register_custom_op, memory.Functions
    without_functions = torch._C.DisableTorchFunction

    def registered(op_name: str, op_func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        reference = lora.REFERENCES.get(op_name)
        if reference is None:
            memory.in_python[f"vllm::{op_name}"] = op_func
        work, under = (op_func, functions) if reference is None else (reference, without_functions)

        def run(*given: Any, **named: Any) -> Any:
            with under():
                return work(*given, **named)

        # torch reads the schema off the annotations, whose names are those of the module that it came from.
        of_its_module = FunctionType(run.__code__, op_func.__globals__, closure=run.__closure__)
        return register(op_name, functools.update_wrapper(of_its_module, op_func), *args, **kwargs)

    torch_utils.direct_register_custom_op = registered


def dispatch_to_references(cuda: Any) -> None:
    """`vllm.platforms.cuda`: operators are found where tensors really are."""
    for platform in (cuda.CudaPlatformBase, cuda.NvmlCudaPlatform, cuda.CudaPlatform):
        platform.dispatch_key = "CPU"
        platform.dist_backend = "gloo"


def need_no_compiler(runner: Any) -> None:
    """`vllm.v1.worker.gpu_model_runner`: the profile run samples by chance, which no run of zotui's does.

    FlashInfer's sampler would be compiled with nvcc then; vLLM's own is more than Triton's interpreter takes.
    """

    def profile(self: Any, hidden_states: Any) -> Any:
        from vllm import envs

        if envs.VLLM_USE_FLASHINFER_SAMPLER:
            raise RuntimeError(
                "simulated card: FlashInfer would compile its sampler now, with an nvcc that is not there"
            )
        return torch.tensor([])

    runner.GPUModelRunner._dummy_sampler_run = profile


def compile_nothing(jit_warmup: Any) -> None:
    """`vllm.model_executor.warmup.jit_warmup`: what is interpreted is not compiled ahead."""
    jit_warmup.JitWarmupRegistry.warmup = lambda self: None


def define_experts(triton_moe: Any) -> None:
    """`...fused_moe.experts.triton_moe`: experts by their definition, for vLLM's profile run; passes have ours."""

    def apply(
        self: Any,
        output: torch.Tensor,
        hidden_states: torch.Tensor,
        w1: torch.Tensor,
        w2: torch.Tensor,
        topk_weights: torch.Tensor,
        topk_ids: torch.Tensor,
        *others: Any,
        **named: Any,
    ) -> None:
        output.zero_()
        for expert in topk_ids.unique().tolist():
            token, place = (topk_ids == expert).nonzero(as_tuple=True)
            gate, up = (hidden_states[token] @ w1[expert].T).chunk(2, -1)
            given = (torch.nn.functional.silu(gate) * up) @ w2[expert].T
            output.index_add_(0, token, (given * topk_weights[token, place, None]).to(output.dtype))

    triton_moe.TritonExperts.apply = apply
