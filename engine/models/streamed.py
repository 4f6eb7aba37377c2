"""A safetensors file written piece by piece, for weights that the host has no memory for at once.

The format (https://github.com/huggingface/safetensors, "Format"): 8 bytes, little-endian, with the length of the
header; the header, which is JSON, has dtype, shape and place of every tensor and is filled up with spaces; then
the tensors, one after the other without gaps, in any order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

PIECE = 2**26  # bytes of a tensor that the host holds at a time

_ALIGNED = 8  # bytes: where the first tensor begins
_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int64: "I64",
}


@dataclass(frozen=True)
class Entry:
    """What is to be known of a tensor before any is written."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_streamed(path: Path, entries: Mapping[str, Entry], tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Write `tensors`, which come by name and in the order of `entries`, from any device.

    Of those that lie elsewhere than in the host's memory, `PIECE` bytes are there at a time. A generator that reads
    each tensor when it is asked for keeps the rest where they are. Raises `OSError` if the disk does not take it, and
    `ValueError` for a tensor that is not the one that was announced.
    """
    header: dict[str, object] = {}
    place = 0
    for name, entry in entries.items():
        places = [place, place + entry.size]
        header[name] = {"dtype": _NAMES[entry.dtype], "shape": list(entry.shape), "data_offsets": places}
        place += entry.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNED)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        announced = iter(entries.items())
        for name, tensor in tensors:
            if next(announced, None) != (name, Entry(tuple(tensor.shape), tensor.dtype)):
                raise ValueError(f"{name}: not the tensor that was to come next")
            for part in tensor.detach().reshape(-1).split(max(1, PIECE // tensor.dtype.itemsize)):
                file.write(part.cpu().view(torch.uint8).numpy().data)
        if missing := next(announced, None):
            raise ValueError(f"{missing[0]}: did not come")
