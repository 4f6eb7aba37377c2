"""How a run's folds keep what 16 bits cannot: what the preset asks for, what it began with, and what there is room for.

A residual on the device and one in the host's memory are the same numbers, in the run and in its checkpoints: which
of the two may differ from one start to the next. Rounding by chance is another trajectory: a run keeps to its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.directions.fold import FoldMode, choose_fold
from engine.models.facts import ModelFacts
from engine.preflight.memory import Host, Memory, estimate_host, estimate_memory, residual_bytes
from engine.preset.method import Method
from engine.runs.info import Info
from engine.runtimes.base import Needs
from engine.text import in_bytes


@dataclass(frozen=True)
class Folds:
    """The modes that may be taken, the best first, and where that comes from."""

    modes: tuple[FoldMode, ...]
    source: str  # such as "model.fold=auto"
    began: bool = False  # whether the run has taken steps with them


@dataclass(frozen=True)
class Tried:
    """What a run takes with one of them, and the bytes that are there for it."""

    fold: FoldMode
    memory: Memory
    host: Host
    available: int  # on the device
    available_host: int

    @property
    def on_device(self) -> bool:
        """Whether the device has room for it."""
        return self.memory.total <= self.available

    @property
    def on_host(self) -> bool:
        """Whether the host has."""
        return self.host.total <= self.available_host


def folds_for(wanted: str, was: str, *, dtype: str, device: str, runtime: str, scope: str = "linear") -> Folds:
    """What `model.fold`, `wanted`, means here, for a run that has taken steps with the fold `was`, if it has.

    `scope`: that of the method. An adapter's factors are never folded.
    """
    asked = f"model.fold={wanted}"
    if scope == "adapter":
        return Folds(("nearest",), asked)
    if runtime != "vllm" or dtype == "float32":
        return Folds((choose_fold(wanted, dtype),), asked)
    residuals: tuple[FoldMode, ...] = ("residual",) if device == "cpu" else ("residual", "host-residual")
    if was == "stochastic" or was in ("residual", "host-residual"):
        modes: tuple[FoldMode, ...] = ("stochastic",) if was == "stochastic" else residuals
        return Folds(modes[-1:] if wanted == "host-residual" else modes, "as the run began", began=True)
    if wanted == "auto":
        return Folds((*residuals, "stochastic"), asked)
    if wanted == "host-residual":
        return Folds(residuals[-1:], asked)  # on a CPU it is where the host has it in any case
    return Folds((choose_fold(wanted, dtype),), asked)


def fold_of(info: Info, wanted: str) -> str:
    """What a run began with, from its record; nothing if it has not begun. `wanted` is its `model.fold`."""
    if info.fold or info.runtime != "vllm":
        return info.fold
    return choose_fold(wanted, info.dtype)  # before it was on record, auto was residual in 16 bits


def try_folds(
    facts: ModelFacts,
    needs: Needs,
    method: Method,
    folds: Folds,
    *,
    dtype: str,
    device: str,
    runtime: str,
    graphs: bool,
    available: int,
    available_host: int,
) -> list[Tried]:
    """Each in order up to the first that there is room for, on the device and in the host's memory, in bytes."""
    tried = []
    for fold in folds.modes:
        memory = estimate_memory(
            facts, needs, method, dtype=dtype, device=device, runtime=runtime, fold=fold, graphs=graphs
        )
        if memory.total > available:
            memory = memory.without_copies()
        host = estimate_host(facts, needs, method, dtype=dtype, device=device, runtime=runtime, fold=fold)
        tried.append(Tried(fold, memory, host, available, available_host))
        if tried[-1].on_device and tried[-1].on_host:
            break
    return tried


def describe_fold(
    facts: ModelFacts, folds: Folds, tried: Sequence[Tried], *, dtype: str, device: str, runtime: str
) -> str:
    """How updates are kept in weights of this precision, what that takes, and why this way, for the log."""
    if facts.scope == "adapter":
        return "updates: in the factors of the adapter, in float32; the weights stay as they are"
    if runtime != "vllm":
        return f"updates: in place, rounded to {dtype} at every step"
    fold = tried[-1].fold
    size = f"{residual_bytes(facts, runtime=runtime, fold=fold) / 1e9:.2g} GB"
    how = {
        "residual": f"a residual beside the weights keeps what {dtype} cannot ({size} more)",
        "host-residual": f"a residual in the host's memory, for folds alone, keeps what {dtype} cannot ({size})",
        "stochastic": f"stochastic rounding to {dtype}, right on average (no more memory)",
        "nearest": f"rounded to {dtype} (no more memory)",
    }
    if dtype == "float32":
        return f"folds: {how[fold]}"
    lacking = [lacking_room(one, device) for one in tried[:-1]]
    why = ", ".join(lacking) or ("it fits" if len(folds.modes) > 1 else "")
    return f"folds: {how[fold]}; {folds.source}{': ' if why else ''}{why}"


def lacking_room(tried: Tried, device: str) -> str:
    """What there is no room for, and how much there is."""
    kept = "in the host's memory" if tried.fold == "host-residual" else "beside the weights"
    needed, there, where = tried.memory.total, tried.available, device
    if tried.on_device:
        needed, there, where = tried.host.total, tried.available_host, "the host"
    return f"residuals {kept} make {in_bytes(needed)} on {where}, {in_bytes(there)} are available"
