"""What many presets need, by their models' configurations alone: nothing is downloaded, built or loaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.errors import UserError
from engine.machine import available_memory
from engine.models.facts import ModelFacts, Scope, facts_of, read_model
from engine.models.known_shapes import ON_THE_HUB
from engine.preflight.choose import choose_dtype, usable_gpus
from engine.preflight.disk import estimate_disk, free_disk
from engine.preflight.folds import folds_for, try_folds
from engine.preflight.scope import folds_of, probing_at_once
from engine.preset.load import load_file
from engine.preset.model import Model
from engine.preset.schema import BUILTIN_DEMO, Preset
from engine.protocol.events import Event
from engine.protocol.findings import Outlook
from engine.runs.home import runs_home
from engine.runtimes.base import Needs
from engine.text import in_bytes

_LENGTH = 128  # tokens of the longest sequence, until the data says; the part of the estimate that it decides is small


def look(sources: Sequence[Path], say: Callable[[Event], None]) -> None:
    """Say for each preset's file what it needs, and whether this machine has it."""
    for source in sources:
        try:
            say(outlook(source, load_file(source)))
        except UserError as error:
            say(Outlook(source=str(source), fits="no", why=str(error)))


def outlook(source: Path, wanted: Preset) -> Outlook:
    """What one needs. Raises `UserError` for a model that no run could start on."""
    facts, here = facts_without_download(wanted.model, wanted.method.scope)
    if facts is None:
        return Outlook(source=str(source), fits="unknown", why="not known until it is downloaded")
    device = _device(wanted.model.device)
    # Whether vLLM loads takes seconds to find out, and is for the run itself.
    there = importlib.util.find_spec("vllm") is not None
    runtime = (
        "vllm" if wanted.model.runtime == "vllm" or (there and wanted.model.runtime == "auto") else "training-loop"
    )
    dtype = choose_dtype(wanted.model.dtype, device, facts)
    longest = min(facts.context, wanted.model.max_length or _LENGTH)
    batch = wanted.run.batch_size
    needs = Needs(
        batch, longest, options=2, option_tokens=1, probing=probing_at_once(wanted.method, batch),
        intervals=folds_of(wanted),
    )  # fmt: skip
    folds = folds_for(wanted.model.fold, "", dtype=dtype, device=device, runtime=runtime, scope=wanted.method.scope)
    *_, least = try_folds(
        facts, needs, wanted.method, folds, dtype=dtype, device=device, runtime=runtime,
        graphs=wanted.model.cuda_graphs == "auto", available=available_memory(device, wanted.model.memory_limit_gib),
        available_host=available_memory("cpu", None),
    )  # fmt: skip
    disk = estimate_disk(
        facts, wanted, dtype=dtype, device=device, runtime=runtime, fold=least.fold, steps_done=0, saved=0
    )
    room, _ = free_disk(runs_home())
    download = 0 if here else facts.parameters * facts.dtype.itemsize
    why = ""
    if not least.on_device:
        why = f"needs about {in_bytes(least.memory.total)} of memory on {device}, {in_bytes(least.available)} are free"
    elif not least.on_host:
        room_there = in_bytes(least.available_host)
        why = f"needs about {in_bytes(least.host.total)} of the host's memory, {room_there} are free"
    elif disk.least > room:
        why = f"a checkpoint takes {in_bytes(disk.checkpoint)} of disk, {in_bytes(room)} are free"
    elif download and download > (left := _room_for_downloads()):
        why = f"its download takes about {in_bytes(download)} of disk, {in_bytes(left)} are free"
    return Outlook(
        source=str(source),
        fits="no" if why else "yes",
        why=why,
        parameters=facts.parameters,
        memory=least.memory.total,
        disk=disk.total,
        download=download,
    )


def facts_without_download(model: Model, scope: Scope) -> tuple[ModelFacts | None, bool]:
    """What is known of a model, None where only the hub knows; and whether its files need no download."""
    if model.path == BUILTIN_DEMO:
        from engine.tasks.demo import model_config

        return facts_of(model.path, model_config(), scope=scope), True
    local = Path(model.path).expanduser()
    if local.exists() or model.path.startswith(("/", ".", "~")) or model.path.count("/") > 1:
        return read_model(str(local), trust_remote_code=False, scope=scope), True
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(model.path, "config.json")
    if isinstance(cached, str):
        return read_model(str(Path(cached).parent), trust_remote_code=False, weights=False, scope=scope), True
    shape = ON_THE_HUB.get(model.path)
    if shape is None:
        return None, False
    from transformers import AutoConfig

    return facts_of(model.path, AutoConfig.for_model(**shape), scope=scope), False


def _room_for_downloads() -> int:
    from huggingface_hub.constants import HF_HUB_CACHE

    return free_disk(Path(HF_HUB_CACHE))[0]


def _device(wanted: str) -> str:
    """The device of `model.device`. Raises as `usable_gpus` does."""
    count = usable_gpus(wanted)
    if not count:
        return "cpu"
    index = int(wanted.partition(":")[2] or 0)
    if index >= count:
        raise UserError(f"model.device: {wanted}: torch sees no such GPU here")
    return f"cuda:{index}"
