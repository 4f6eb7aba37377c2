"""Weights are written one after the other: as safetensors reads them, and without room for all of them."""

from __future__ import annotations

import json
import multiprocessing
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.models import streamed
from engine.models.streamed import Entry, write_streamed
from tests.peak_memory import grown

MiB = 2**20


def some() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(96, 33, generator=generator)
    return {
        "b.weight": whole.bfloat16(),
        "a.weight": whole[:7].half(),
        "a.weight.residual": (whole * 1000).short(),
        "float32": whole[:, 3:5],  # not contiguous
        "float64": whole[0].double(),
        "with ü and \" in it": whole[:1],
        "empty": whole[:0],
    }  # fmt: skip


def entries(tensors: dict[str, torch.Tensor]) -> dict[str, Entry]:
    return {name: Entry(tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}


@pytest.mark.parametrize("piece", [streamed.PIECE, 100, 1])
def test_what_is_written_is_what_safetensors_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(streamed, "PIECE", piece)
    tensors = some()
    write_streamed(tmp_path / "ours", entries(tensors), tensors.items())
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "theirs")
    ours, theirs = load_file(tmp_path / "ours"), load_file(tmp_path / "theirs")
    assert ours.keys() == theirs.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert ours[name].dtype == tensor.dtype and torch.equal(ours[name], theirs[name]), name
    with safe_open(tmp_path / "ours", framework="pt") as file, safe_open(tmp_path / "theirs", framework="pt") as other:
        assert file.metadata() == other.metadata()
    sizes = [(tmp_path / name).stat().st_size for name in ("ours", "theirs")]
    assert abs(sizes[0] - sizes[1]) < 200  # places in the header may have another digit
    content = (tmp_path / "ours").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    assert length % 8 == 0 and list(json.loads(content[8 : 8 + length])) == list(tensors)


@pytest.mark.parametrize("wrong", ["other name", "other shape", "other dtype", "one too many", "one missing"])
def test_a_tensor_that_was_not_announced_is_never_written_as_another(tmp_path: Path, wrong: str) -> None:
    tensors = some()
    announced = entries(tensors)
    given = list(tensors.items())
    name, tensor = given[1]
    given[1] = {
        "other name": ("c.weight", tensor),
        "other shape": (name, tensor.reshape(33, 7)),
        "other dtype": (name, tensor.bfloat16()),
    }.get(wrong, given[1])
    if wrong == "one too many":
        given.append(("more", tensor))
    if wrong == "one missing":
        given.pop()
    with pytest.raises(ValueError, match=r"not the tensor that was to come next|did not come"):
        write_streamed(tmp_path / "file", announced, given)


def test_a_disk_that_is_full_in_the_middle_is_an_error_of_the_disk(small_disk: object, tmp_path: Path) -> None:
    path = small_disk("64k") / "file"  # type: ignore[operator]
    tensors = {f"{n}": torch.zeros(4096) for n in range(8)}
    with pytest.raises(OSError, match="No space left on device"):
        write_streamed(path, entries(tensors), tensors.items())


def _write_large(path: Path, told: multiprocessing.Queue[int]) -> None:
    shape = (MiB // 2, 64)  # 64 MiB each, made when it is asked for, as those that come from a GPU

    def tensors() -> Iterator[tuple[str, torch.Tensor]]:
        for n in range(6):
            yield f"{n}", torch.full(shape, n, dtype=torch.int16)

    with grown() as most:
        write_streamed(path, {f"{n}": Entry(shape, torch.int16) for n in range(6)}, tensors())
    told.put(most[0])


def test_the_host_needs_memory_for_one_tensor_not_for_all(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    told: multiprocessing.Queue[int] = context.Queue()  # type: ignore[assignment]
    process = context.Process(target=_write_large, args=(tmp_path / "file", told))
    process.start()
    most = told.get(timeout=240)
    process.join()
    assert (tmp_path / "file").stat().st_size > 384 * MiB
    assert 60 * MiB < most < 160 * MiB  # the next is made while the last is held
    with safe_open(tmp_path / "file", framework="pt") as file:
        assert [int(file.get_slice(f"{n}")[5, 7]) for n in range(6)] == list(range(6))
