"""vLLM's compiled kernels by torch references, and where they are registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.rehearsal.simulated import attention

_libraries: list[torch.library.Library] = []  # a registration lives as long as its library
_registered: set[str] = set()


def write_cache(named: dict[str, Any]) -> None:
    """`reshape_and_cache_flash`: keys and values of each token into its slot; slots below 0 are none."""
    slots = named["slot_mapping"]
    assert slots.dtype == torch.int64
    some = slots >= 0
    for kind in ("key", "value"):
        cache = named[f"{kind}_cache"]
        page = cache.shape[1]
        cache[slots[some] // page, slots[some] % page] = named[kind][: slots.numel()][some].to(cache.dtype)


def rms_norm(named: dict[str, Any]) -> None:
    """x / sqrt(mean(x^2) + eps) * weight."""
    x = named["input"].float()
    normal = (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + named["epsilon"])).to(named["input"].dtype)
    named["result"].copy_(normal if named["weight"] is None else normal * named["weight"])


def fused_add_rms_norm(named: dict[str, Any]) -> None:
    """residual <- residual + x; x <- its norm."""
    named["residual"].add_(named["input"])
    rms_norm({**named, "input": named["residual"].clone(), "result": named["input"]})


def _gated(activation: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[dict[str, Any]], None]:
    def run(named: dict[str, Any]) -> None:
        gate, up = named["input"].chunk(2, -1)
        result = named["result"] if "result" in named else named["out"]
        result.copy_(activation(gate.float()).to(gate.dtype) * up)

    return run


def rotate(named: dict[str, Any]) -> None:
    """`rotary_embedding`, in place, of heads whose halves are turned against each other."""
    assert named["is_neox"]
    cos, sin = (part[:, None].float() for part in named["cos_sin_cache"][named["positions"]].chunk(2, -1))
    for heads in (named["query"], named["key"]):
        if heads is None:
            continue
        by_head = heads.view(len(heads), -1, named["head_size"])
        turned = by_head[..., : 2 * cos.shape[-1]]
        first, second = turned.float().chunk(2, -1)
        turned.copy_(torch.cat([first * cos - second * sin, second * cos + first * sin], -1))


def choose_experts(named: dict[str, Any]) -> None:
    """`topk_softmax`: the likeliest experts of each token and their probabilities, which may be made to sum up to 1."""
    assert named.get("bias") is None
    probabilities, chosen = named["gating_output"].float().softmax(-1).topk(named["topk_weights"].shape[1], -1)
    if named["renormalize"]:
        probabilities = probabilities / probabilities.sum(-1, keepdim=True)
    named["topk_weights"].copy_(probabilities)
    named["topk_indices"].copy_(chosen)


_GELU_TANH = _gated(lambda x: torch.nn.functional.gelu(x, approximate="tanh"))
_REFERENCES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "_vllm_fa3_C::fwd": attention.by_fa3,
    "_vllm_fa3_C::get_scheduler_metadata": attention.schedule,
    "_vllm_fa2_C::varlen_fwd": attention.by_fa2,
    "_C_cache_ops::reshape_and_cache_flash": write_cache,
    "_C::rms_norm": rms_norm,
    "_C::fused_add_rms_norm": fused_add_rms_norm,
    "_C::silu_and_mul": _gated(torch.nn.functional.silu),
    "_C::gelu_and_mul": _gated(torch.nn.functional.gelu),
    "_C::gelu_tanh_and_mul": _GELU_TANH,
    "_C::rotary_embedding": rotate,
    "_moe_C::topk_softmax": choose_experts,
}


def install_from(module: Any) -> None:
    """Register the references of the kernels that a compiled module of vLLM brought."""
    for name, reference in _REFERENCES.items():
        if name not in _registered and torch._C._jit_get_schemas_for_operator(name):
            _registered.add(name)
            _register(name, reference)


def _register(name: str, reference: Callable[[dict[str, Any]], Any]) -> None:
    """By the names that the operator's own schema gives its arguments, which versions order otherwise."""
    space, _, short = name.partition("::")
    schema = next(s for s in torch._C._jit_get_schemas_for_operator(name) if not s.overload_name)
    defaults = {argument.name: argument.default_value for argument in schema.arguments}

    def run(*given: Any, **named: Any) -> Any:
        with torch._C.DisableTorchFunction():
            return reference({**defaults, **dict(zip(defaults, given, strict=False)), **named})

    library = torch.library.Library(space, "IMPL")
    library.impl(short, run, "CPU")
    _libraries.append(library)
