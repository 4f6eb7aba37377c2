"""What is checked and decided before anything is loaded: memory, tokens, disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.directions.fold import FoldMode
from engine.directions.space import space_of
from engine.errors import UserError
from engine.machine import available_memory
from engine.models.facts import ModelFacts
from engine.models.weights import Matrix
from engine.preflight.disk import Disk
from engine.preflight.folds import Folds, Tried, describe_fold, lacking_room, try_folds
from engine.preflight.memory import Host, Memory, estimate_memory
from engine.preset.method import Method
from engine.runtimes.base import Needs
from engine.tasks.example import Example
from engine.tasks.load import Task
from engine.text import in_bytes

_GiB = 2**30


@dataclass(frozen=True)
class Fit:
    """The fold that there is room for, what the run takes with it, and why it is this one."""

    fold: FoldMode
    memory: Memory
    host: Host
    available: int  # bytes of the device
    available_host: int
    lines: list[str]  # on memory, for the log
    updates: str  # how they are kept, and why so, for the log


def check_memory(
    facts: ModelFacts,
    needs: Needs,
    method: Method,
    *,
    dtype: str,
    device: str,
    runtime: str,
    folds: Folds,
    limit_gib: float | None,
    graphs: bool = True,
) -> Fit:
    """The first of the folds that there is room for. Raises `UserError` if there is for none."""
    setting: dict[str, Any] = {"dtype": dtype, "device": device, "runtime": runtime}
    tried = try_folds(
        facts, needs, method, folds, graphs=graphs, available=available_memory(device, limit_gib),
        available_host=available_memory("cpu", None), **setting,
    )  # fmt: skip
    last = tried[-1]
    if not (last.on_device and last.on_host):
        raise UserError(f"model.path: {facts.path}: {_refusal(tried, folds, device)}")
    needed = last.memory
    there = f"{in_bytes(last.available)} are available on {device}"
    whole = estimate_memory(facts, needs, method, fold=last.fold, graphs=graphs, **setting)
    slower = ", but without room for plain copies, and so with slower folds" if needed.copies < whole.copies else ""
    lines = [f"memory: {needed}; {there}: fits{slower}"]
    if last.host.total:
        lines.append(f"host memory: {last.host}; {in_bytes(last.available_host)} are available: fits")
    updates = describe_fold(facts, folds, tried, **setting)
    return Fit(last.fold, needed, last.host, last.available, last.available_host, lines, updates)


def _refusal(tried: Sequence[Tried], folds: Folds, device: str) -> str:
    """What does not fit, and what would help."""
    last = tried[-1]
    if folds.began and last.memory.total - last.memory.residuals <= last.available:
        lacking = ", ".join(lacking_room(one, device) for one in tried)
        return (
            f"the run began with residuals and must go on with them, and {lacking}; make room, or resume it elsewhere"
        )
    if last.on_device:
        without = ", or --set model.fold=stochastic" if last.host.residuals and not folds.began else ""
        return (
            f"needs about {last.host.total / _GiB:.1f} GiB of the host's memory ({last.host}), "
            f"{last.available_host / _GiB:.1f} GiB are available; make room{without}"
        )
    without = ""
    if last.memory.residuals and not folds.began:
        other = "stochastic" if device == "cpu" else "host-residual"
        without = f", or --set model.fold={other} ({last.memory.residuals / _GiB:.1f} GiB less)"
    return (
        f"needs about {last.memory.total / _GiB:.1f} GiB of memory on {device}, "
        f"{last.available / _GiB:.1f} GiB are available; take a smaller model, dtype or run.batch_size{without}"
    )


def check_ids(where: str, examples: Sequence[Example], tokenizer: Any, vocabulary: int) -> None:
    """Raise `UserError`, which begins with `where`, for a token that the model has no embedding of.

    vLLM pads the vocabulary, and would score such a token by rows that mean nothing.
    """
    for number, example in enumerate(examples, start=1):
        for ids in (example.prompt, *example.options):
            if ids and max(ids) >= vocabulary:
                beyond = max(ids)
                token = tokenizer.convert_ids_to_tokens(beyond)
                raise UserError(
                    f"{where}: example {number} has the token {token!r} (id {beyond}), beyond the model's vocabulary "
                    f"of {vocabulary:,}: tokenizer and model do not belong together; take the model's own tokenizer"
                )


def check_generation(task: Task, *, runtime: str, device: str, dtype: str) -> None:
    """Raise `UserError` where evaluations are to generate texts and the runtime cannot from such weights."""
    if runtime == "vllm" and device != "cpu" and dtype == "float32" and any(e.answers for e in task.validation):
        raise UserError(
            "task.generate_examples: vLLM generates no text from float32 weights on a GPU; set model.dtype=bfloat16, "
            "model.runtime=training-loop, or task.generate_examples=0"
        )


def check_rank(method: Method, matrices: Sequence[Matrix]) -> None:
    """Raise `UserError` where a matrix is too small for as many orthonormal columns as the rank."""
    if space_of(method).basis != "orthonormal":
        return

    def side(matrix: Matrix) -> int:
        return min(matrix.rows, matrix.cols) if method.direction == "core" else matrix.cols

    smallest = min(matrices, key=side)
    if side(smallest) < method.rank:
        raise UserError(
            f"method.rank: {smallest.name} is {smallest.rows} x {smallest.cols}, too small for a basis of "
            f"{method.rank} orthonormal columns; set method.rank to {side(smallest)} at most"
        )


def check_disk(needed: Disk, folder: Path) -> tuple[Literal["info", "warning"], str]:
    """A line for the log on whether the disk of `folder` has room.

    Raises `UserError` if there is none even for one checkpoint and the journal.
    """
    free = shutil.disk_usage(folder).free
    there = f"{in_bytes(free)} are free in {folder}"
    if needed.least > free:
        raise UserError(
            f"{folder}: a checkpoint and the journal take {in_bytes(needed.least)}, {in_bytes(free)} are free there; "
            "make room, or choose another --run-dir"
        )
    if needed.total > free:
        remedy = "a smaller run.keep_checkpoints takes less; a full disk holds the run until there is room"
        return "warning", f"disk: {needed}, but {there}: {remedy}"
    return "info", f"disk: {needed}; {there}: fits"
