"""Stock vLLM as a run needs it: slots for the directions, room for its passes, and our part of the worker."""

from __future__ import annotations

import gc
import re
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import ValidationError
from vllm import LLM

from engine.errors import first_line
from engine.models.experts import dense
from engine.models.facts import ModelFacts
from engine.models.weights import Matrix
from engine.runtimes.vllm.capacity import Capacity, adapter_rank
from engine.runtimes.vllm.support import REMEDY, CannotAdapt, model_arguments, reason

_UNWRAPPED = re.compile(r"LoRA target module (\S+) .*could not be wrapped")
_WORKER = "engine.runtimes.vllm.worker.worker.ZoWorker"  # one for all: vLLM mixes it into its own class for good


def start(
    facts: ModelFacts,
    room: Capacity,
    block: int,
    *,
    dtype: str,
    device: str,
    rank: int,
    memory_needed: int,
    trust_remote_code: bool,
    random_weights: bool,
) -> LLM:
    """Load the model with KV space for `room`, in pages of `block` tokens; `memory_needed`: bytes of the whole run.

    Raises `CannotAdapt` for a model that vLLM does not take in this way, or of which it does not adapt a layer.
    """
    if not gc.get_freeze_count():
        gc.freeze()  # the libraries' million objects stay; vLLM would look through them five times, 0.3 s each
    asked: dict[str, Any] = dict(
        **model_arguments(facts, dtype, trust_remote_code),
        load_format="dummy" if random_weights else "auto",
        skip_tokenizer_init=random_weights,
        enforce_eager=True,
        enable_prefix_caching=False,  # it would return scores of overwritten slots
        language_model_only=True,  # of a model that sees as well, whose tower stays unloaded
        enable_lora=True,
        max_loras=2,
        max_lora_rank=adapter_rank(rank),
        lora_target_modules=_target_modules(facts.matrices),
        max_model_len=room.longest,
        max_num_batched_tokens=room.tokens,
        max_num_seqs=room.sequences,
        block_size=block,
        kv_cache_memory_bytes=room.blocks * block * facts.kv_bytes_per_token(dtype),
        gpu_memory_utilization=_memory_share(device, memory_needed),
        disable_log_stats=True,
        worker_extension_cls=_WORKER,
    )
    try:
        return LLM(**asked)
    except ValidationError as error:
        raise CannotAdapt(f"model.path: {facts.path}: vLLM refuses it: {reason(error)}{REMEDY}") from None
    except torch.OutOfMemoryError:
        raise
    except (ValueError, KeyError, RuntimeError) as error:
        if layer := _UNWRAPPED.search(str(error)):
            raise CannotAdapt(f"model.path: {facts.path}: vLLM cannot adapt {layer[1]}{REMEDY}") from None
        raise CannotAdapt(  # no place for a tensor of the files, or no kernel for a layer
            f"model.path: {facts.path}: vLLM cannot load it ({type(error).__name__}: {first_line(error)}){REMEDY}"
        ) from error


def _memory_share(device: str, needed: int) -> float:
    """What vLLM checks against free GPU memory at its start; KV space is sized to need regardless."""
    if device == "cpu":
        return 0.9  # not looked at, once KV space has a size
    free, total = torch.cuda.mem_get_info(device)
    return min(needed, 0.9 * free) / total


def _target_modules(matrices: Sequence[Matrix]) -> list[str]:
    """Names of the layers that get vLLM's slots; embeddings and the output head must not, and experts need none."""
    names = {matrix.name.removesuffix(".weight").rpartition(".")[2] for matrix in dense(matrices)}
    # The gate of experts that every token has is in use under a second name, which has slots if that is named as well.
    gate = {"expert_gate"} if "shared_expert_gate" in names else set()
    return sorted(names | gate | {"qkv_proj", "gate_up_proj"})
