"""What many presets need, by their models' configurations alone: nothing is downloaded, built or loaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import torch

from engine import preset
from engine.disk import estimate_disk, free_disk
from engine.errors import UserError
from engine.findings import Outlook
from engine.fold import choose_fold
from engine.memory import estimate_memory, in_bytes
from engine.messages import Event
from engine.model_files import ModelFacts, facts_of, read_model
from engine.preflight import choose_dtype
from engine.rundir import runs_home
from engine.runtime import Needs

_LENGTH = 128  # tokens of the longest sequence, until the data says; the part of the estimate that it decides is small


def look(sources: Sequence[Path], say: Callable[[Event], None]) -> None:
    """Say for each preset's file what it needs, and whether this machine has it."""
    for source in sources:
        try:
            say(outlook(source, preset.load_file(source)))
        except UserError as error:
            say(Outlook(source=str(source), fits="no", why=str(error)))


def outlook(source: Path, wanted: preset.Preset) -> Outlook:
    """What one needs. Raises `UserError` for a model that no run could start on."""
    facts = _facts(wanted.model)
    if facts is None:
        return Outlook(source=str(source), fits="unknown", why="not known until it is downloaded")
    device, free = _device(wanted.model.device)
    if wanted.model.memory_limit_gib is not None:
        free = min(free, int(wanted.model.memory_limit_gib * 2**30))
    # Whether vLLM loads takes seconds to find out, and is for the run itself.
    there = importlib.util.find_spec("vllm") is not None
    runtime = (
        "vllm" if wanted.model.runtime == "vllm" or (there and wanted.model.runtime == "auto") else "training-loop"
    )
    dtype = choose_dtype(wanted.model.dtype, device, facts)
    fold = choose_fold(wanted.model.fold, dtype)
    longest = min(facts.context, wanted.model.max_length or _LENGTH)
    needs = Needs(wanted.run.batch_size, longest, options=2, option_tokens=1, queries=wanted.method.queries)
    memory = estimate_memory(facts, needs, wanted.method, dtype=dtype, device=device, runtime=runtime, fold=fold)
    least = memory if memory.total <= free else replace(memory, copies=0)
    disk = estimate_disk(facts, wanted, dtype=dtype, runtime=runtime, fold=fold, steps_done=0, saved=0)
    room, _ = free_disk(runs_home())
    why = ""
    if least.total > free:
        why = f"needs about {in_bytes(least.total)} of memory on {device}, {in_bytes(free)} are free"
    elif disk.least > room:
        why = f"a checkpoint takes {in_bytes(disk.checkpoint)} of disk, {in_bytes(room)} are free"
    return Outlook(
        source=str(source),
        fits="no" if why else "yes",
        why=why,
        parameters=facts.parameters,
        memory=least.total,
        disk=disk.total,
    )


def _facts(model: preset.Model) -> ModelFacts | None:
    """What is known of a model here; None where only the hub knows."""
    if model.path == preset.BUILTIN_DEMO:
        from engine.demo import model_config

        return facts_of(model.path, model_config())
    local = Path(model.path).expanduser()
    if local.exists() or model.path.startswith(("/", ".", "~")) or model.path.count("/") > 1:
        return read_model(str(local), trust_remote_code=False)
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(model.path, "config.json")
    return (
        read_model(str(Path(cached).parent), trust_remote_code=False, weights=False)
        if isinstance(cached, str)
        else None
    )


def _device(wanted: str) -> tuple[str, int]:
    """The device of `model.device`, and the bytes that are free there. Raises `UserError` if there is no such GPU."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "cpu" or (wanted == "auto" and not count):
        return "cpu", int(psutil.virtual_memory().available)
    index = int(wanted.partition(":")[2] or 0)
    if index >= count:
        raise UserError(f"model.device: {wanted}: torch sees no such GPU here")
    return f"cuda:{index}", int(torch.cuda.mem_get_info(index)[0])
