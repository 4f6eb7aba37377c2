"""What a model's weight files hold, by their headers: the tensors' names, types and shapes, without their data.

A safetensors file (https://github.com/huggingface/safetensors, "Format") tells in its header how long it has to be, so
that a download that was cut off shows without reading it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.errors import UserError
from engine.text import in_bytes

LONGEST_HEADER = 100_000_000  # bytes, as safetensors itself allows

_POINTER = b"version https://git-lfs.github.com/spec/"
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
    "C64": 64,
}  # fmt: skip


# In the words of safetensors, and in torch's, of pickles.
_PRECISIONS = {
    "F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16,
    **{str(dtype): dtype for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16)},
}  # fmt: skip


@dataclass(frozen=True)
class TensorHeader:
    """A tensor as its file's header describes it; `dtype` in the words of safetensors, such as BF16."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def precision(self) -> torch.dtype | None:
        """Of a weight; None where that is no floating-point number of 16 bits or more."""
        return _PRECISIONS.get(self.dtype)


def own_precision(headers: Mapping[str, TensorHeader]) -> torch.dtype:
    """What most of a model's weights are in, by their number; float32 where that is no kind of `precision`."""
    sizes: Counter[str] = Counter()
    for one in headers.values():
        sizes[one.dtype] += math.prod(one.shape)
    most = max(sizes, key=lambda name: sizes[name], default="")
    return _PRECISIONS.get(most, torch.float32)


def check_whole(where: str, path: Path) -> None:
    """Raise `UserError`, which begins with `where`, unless `path` is a file that can be read and holds something.

    Git checks out a pointer in the place of a large file where its extension for these is not installed.
    """
    if not path.exists():
        raise UserError(f"{where}: {path.name} is a link that leads nowhere; download it again")
    if not path.is_file():
        raise UserError(f"{where}: {path.name} is not a file")
    try:
        with path.open("rb") as file:
            begins = file.read(len(_POINTER))
    except OSError as error:
        raise UserError(f"{where}: {path.name} cannot be read ({error.strerror})") from None
    if not begins:
        raise UserError(f"{where}: {path.name} is empty; download it again")
    if begins == _POINTER:
        raise UserError(
            f"{where}: {path.name} is a pointer of Git LFS, not the file itself; run `git lfs pull` in its folder, "
            "or download it again"
        )


def read_header(where: str, path: Path) -> dict[str, TensorHeader]:
    """The tensors of a safetensors file by their names.

    Raises `UserError`, which begins with `where`, if the file is something else, or shorter or longer than its header
    says.
    """
    check_whole(where, path)
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(8)
        length = int.from_bytes(first, "little")
        if not 2 <= length <= LONGEST_HEADER:
            raise UserError(f"{where}: {path.name} is no safetensors file (it begins with {first!r})")
        text = file.read(length)
    if len(first) < 8 or len(text) < length:
        raise UserError(f"{where}: {path.name} is cut off within its header; download it again")
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, dict):
        raise UserError(f"{where}: {path.name} is damaged: its header is no JSON object; download it again")
    entries.pop("__metadata__", None)
    found, places = {}, []
    for name, entry in entries.items():
        header, place = _read_entry(entry)
        if header is None:
            raise UserError(f"{where}: {path.name} is damaged: its header has no sense for {name}; download it again")
        found[name] = header
        places.append(place)
    end = 0
    for begins, ends in sorted(places):
        if begins != end:
            raise UserError(f"{where}: {path.name} is damaged: its tensors overlap or leave gaps; download it again")
        end = ends
    expected = 8 + length + end
    if size < expected:
        raise UserError(
            f"{where}: {path.name} is cut off: {in_bytes(size)} of {in_bytes(expected)} are there ({size:,} of "
            f"{expected:,} bytes); download it again"
        )
    if size > expected:
        raise UserError(
            f"{where}: {path.name} is damaged: {size - expected:,} bytes follow its last tensor; download it again"
        )
    return found


def read_index(where: str, path: Path) -> dict[str, str]:
    """Which file has which tensor, by the index of weights that lie in several files. Raises `UserError`."""
    files = read_object(where, path).get("weight_map")
    if not isinstance(files, dict) or not files:
        raise UserError(f"{where}: {path.name} has no weight_map; download it again")
    for name, file in files.items():
        if not isinstance(file, str) or Path(file).name != file:
            raise UserError(f"{where}: {path.name} has no file for {name}; download it again")
    return files


def check_index(where: str, index: Path, files: Mapping[str, str], there: Mapping[str, set[str]]) -> None:
    """Raise `UserError` unless every file of `index` is `there` and has the tensors that the index has there."""
    missing = sorted({file for file in files.values() if file not in there})
    if missing:
        raise UserError(
            f"{where}: {_some(missing)} {'is' if len(missing) == 1 else 'are'} missing, which {index.name} names; "
            "download the rest"
        )
    lacking = [(tensor, file) for tensor, file in files.items() if tensor not in there[file]]
    if lacking:
        tensor, file = lacking[0]
        more = f", nor {len(lacking) - 1} more that it should have" if len(lacking) > 1 else ""
        raise UserError(f"{where}: {file} has no {tensor}, which {index.name} says it has{more}; download both again")


def read_object(where: str, path: Path) -> dict[str, Any]:
    """A JSON file that holds an object, as the libraries would read it. Raises `UserError`."""
    check_whole(where, path)
    try:
        found = json.loads(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError:
        raise UserError(f"{where}: {path.name} is not written in UTF-8; save it so") from None
    except (ValueError, RecursionError) as error:
        why = (
            "begins with a byte order mark, which no library reads over"
            if "BOM" in str(error)
            else f"is no JSON ({error})"
        )
        remedy = "save it without" if "BOM" in str(error) else "mend it, or download it again"
        raise UserError(f"{where}: {path.name} {why}; {remedy}") from None
    if not isinstance(found, dict):
        raise UserError(f"{where}: {path.name} holds no JSON object; download it again")
    return found


def _read_entry(entry: Any) -> tuple[TensorHeader | None, tuple[int, int]]:
    """What a header says of one tensor, and where it lies; None where that makes no sense."""
    nothing = None, (0, 0)
    if not isinstance(entry, dict):
        return nothing
    dtype: Any = entry.get("dtype")
    shape, place = _whole_numbers(entry.get("shape")), _whole_numbers(entry.get("data_offsets"))
    if not isinstance(dtype, str) or shape is None or place is None or len(place) != 2:
        return nothing
    bits = _BITS.get(dtype)
    if bits is not None and place[1] - place[0] != math.prod(shape) * bits // 8:
        return nothing
    return TensorHeader(dtype, tuple(shape)), (place[0], place[1])


def _whole_numbers(found: Any) -> list[int] | None:
    whole = isinstance(found, list) and all(type(number) is int and number >= 0 for number in found)
    return found if whole else None


def _some(names: list[str]) -> str:
    """The first three of many, and how many more."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
