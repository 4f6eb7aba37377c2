"""Device, data type and runtime, where the preset leaves them open."""

from __future__ import annotations

import torch

from engine import gpus
from engine.errors import UserError
from engine.models.facts import ModelFacts
from engine.runtimes.vllm import support


def choose_device(wanted: str, *, key: str = "model.device", cpu: str = "--set model.device=cpu") -> str:
    """`cpu`, or `cuda:0` for the one GPU that `gpus.mask_gpus` left visible; raises as `usable_gpus` does."""
    return "cuda:0" if usable_gpus(wanted, key=key, cpu=cpu) else "cpu"


def usable_gpus(wanted: str, *, key: str = "model.device", cpu: str = "--set model.device=cpu") -> int:
    """How many GPUs torch sees for `model.device`; 0 where it will be the CPU.

    Raises `UserError` where a GPU is asked for and not there, and where `auto` would pass over one that torch cannot
    use: what is meant for a GPU would run on the CPU for days. The line names the setting by `key`, and the one that
    chooses the CPU by `cpu`.
    """
    if wanted == "cpu":
        return 0
    if torch.cuda.is_available() and (count := torch.cuda.device_count()):
        return count
    if trouble := gpus.trouble():
        raise UserError(f"{key}: {wanted}: {trouble.found}; {trouble.remedy}, or use {cpu}")
    if wanted != "auto":
        raise UserError(f"{key}: {wanted}: torch sees no such GPU here; use {cpu}")
    return 0


def describe_device(device: str) -> str:
    """The device with its name, for people."""
    if device == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return f"{device} ({torch.cuda.get_device_name(device)})"


def choose_dtype(wanted: str, device: str, facts: ModelFacts) -> str:
    """float32, bfloat16 or float16 for `model.dtype`."""
    if wanted != "auto":
        return wanted
    return "float32" if device == "cpu" else str(facts.dtype).removeprefix("torch.")


def choose_runtime(wanted: str, device: str) -> tuple[str, str]:
    """`vllm` or `training-loop` for `model.runtime`, and a line for the log.

    Raises `UserError` if vllm is asked for and does not load.
    """
    if wanted == "training-loop":
        return wanted, "runtime: training-loop, as asked for"
    problem = support.problem(device)
    if not problem:
        return "vllm", f"runtime: vLLM {support.version()}"
    if wanted == "vllm":
        raise UserError(
            f"model.runtime: {problem}; pip install 'zotui[cuda]' (NVIDIA) or 'zotui[cpu]', "
            "or use --set model.runtime=training-loop"
        )
    return "training-loop", f"{problem}: the slower training-loop runtime is used"


def choose_for(facts: ModelFacts, wanted: str, runtime: str, why: str, device: str) -> tuple[str, str]:
    """The same as `choose_runtime` found, or the training loop where that is vLLM, not asked for, and no use here.

    Raises `UserError` where vllm is asked for and cannot adapt the model.
    """
    if runtime != "vllm":
        return runtime, why
    lacking = support.unadaptable(facts.architecture) or support.without_heads(facts.head_size, device)
    return _unless(lacking, facts, wanted, why)


def choose_for_folder(
    facts: ModelFacts, dtype: str, wanted: str, runtime: str, why: str, *, trust_remote_code: bool, begun: bool = False
) -> tuple[str, str]:
    """The same as `choose_for` found, or the training loop as there; of a model whose folder is here, by its files.

    `begun`: whether the run has taken steps with them.

    Raises `UserError` where vllm is asked for and would refuse the folder, or the model in this precision.
    """
    if runtime != "vllm":
        return runtime, why
    return _unless(support.refusal(facts, dtype, trust_remote_code=trust_remote_code, begun=begun), facts, wanted, why)


def _unless(lacking: str, facts: ModelFacts, wanted: str, why: str) -> tuple[str, str]:
    if not lacking:
        return "vllm", why
    if wanted != "auto":
        raise _unadaptable(facts, lacking)
    return "training-loop", f"{lacking}: the slower training-loop runtime is used"


def _unadaptable(facts: ModelFacts, lacking: str) -> UserError:
    return UserError(f"model.path: {facts.path}: {lacking}{support.REMEDY}")
