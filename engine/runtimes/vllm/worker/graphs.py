"""Passes of a small model as CUDA graphs: recorded once per shape, replayed with one launch.

A ragged batch has another shape at every step, so layouts are padded (`engine.runtimes.vllm.padding.pad`) to few
shapes. What a graph reads must stay where it is: inputs are copied into the tensors of the first batch
of a shape, and slots, V and weights are only ever changed in place.

Never run on a GPU so far, only in rehearsal. A step must not depend on whether it was replayed, or a run could not
be taken up exactly: every recording is compared, bit by bit, with the pass done the ordinary way, and the first that
differs, or fails, turns recording off, which the log says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch

from engine.runtimes.vllm.worker.forward import Batch

_MOST = 32  # recordings kept; shapes beyond are done the ordinary way
_log = logging.getLogger(__name__)

Work = Callable[[Batch], torch.Tensor]
Record = Callable[[Callable[[], torch.Tensor]], Callable[[], torch.Tensor]]
"""Takes work without arguments; returns what does it again on the same tensors."""


@dataclass(frozen=True)
class _Recording:
    inputs: Batch
    replay: Callable[[], torch.Tensor]


class Graphs:
    """Does a pass by replay where its shape is known; without a recorder, never."""

    def __init__(self, record: Record | None) -> None:
        self._record = record
        self._recordings: dict[tuple[object, ...], _Recording] = {}

    @property
    def recorded(self) -> int:
        """How many shapes are recorded."""
        return len(self._recordings)

    @property
    def on(self) -> bool:
        """Whether passes are recorded."""
        return self._record is not None

    def run(self, batch: Batch, work: Work, kind: str) -> torch.Tensor:
        """`work(batch)`; `kind` names the work, which is otherwise the same for equal shapes."""
        if self._record is None:
            return work(batch)
        key = (kind, batch.signs, *(tuple(tensor.shape) for tensor in _tensors(batch)))
        known = self._recordings.get(key)
        if known is not None:
            for there, new in zip(known.inputs.sent, batch.sent, strict=True):
                there.copy_(new, non_blocking=True)
            return known.replay()
        expected = self._done(batch, work)  # also what warms the kernels up, before they are recorded
        if self._record is not None and len(self._recordings) < _MOST:
            self._add(self._record, key, batch, work, expected)
        return expected

    def _done(self, batch: Batch, work: Work) -> torch.Tensor:
        """`work(batch)`; where recordings have taken the memory that it needs, they are given up for it."""
        try:
            return work(batch)
        except torch.OutOfMemoryError:
            if not self._recordings:
                raise
        self._turn_off("their memory is needed for a pass")
        torch.cuda.empty_cache()
        return work(batch)

    def _add(self, record: Record, key: tuple[object, ...], batch: Batch, work: Work, expected: torch.Tensor) -> None:
        try:
            replay = record(lambda: work(batch))
            replayed = replay()
        except Exception as error:  # noqa: BLE001 - whatever work raises that cannot be recorded: it was done already
            self._turn_off(f"{type(error).__name__}: {error}".splitlines()[0])
            return
        if not torch.equal(replayed.view(torch.int32), expected.view(torch.int32)):  # bits: a NaN is equal to itself
            worst = (replayed - expected).abs().max().item()
            self._turn_off(f"a replay differs by {worst:.2g} nats")
            return
        self._recordings[key] = _Recording(batch, replay)

    def _turn_off(self, why: str) -> None:
        _log.warning("CUDA graphs are off: %s", why)
        self._record = None
        self._recordings.clear()


def cuda_recorder() -> Record:
    """Records work as CUDA graphs, which share their memory: the values of one are read before the next replay."""
    pool = torch.cuda.graph_pool_handle()

    def record(work: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        stream = torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, pool=pool):
                values = work()
        finally:
            torch.cuda.set_stream(stream)  # a recording that fails leaves its own behind

        def replay() -> torch.Tensor:
            graph.replay()
            return values

        return replay

    return record


def _tensors(batch: Batch) -> list[torch.Tensor]:
    """What the device reads of a batch."""
    held = (getattr(batch, field.name) for field in fields(batch) if not field.name.endswith("_cpu"))
    return [value for value in held if isinstance(value, torch.Tensor)]
