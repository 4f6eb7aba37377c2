"""The matrices of a model as its own files hold them, one at a time and without loading the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError, safe_open

from engine.errors import UserError, first_line
from engine.machine import available_memory
from engine.models.headers import TensorHeader, read_index
from engine.models.names import Names
from engine.text import in_bytes


class BaseWeights:
    """Finds every matrix under its parameter name, which files may begin in another way (`engine.models.names`)."""

    def __init__(self, folder: Path, matrices: Sequence[Matrix]) -> None:
        """Raises `UserError` if the files do not hold exactly these matrices, as safetensors."""
        files = files_read(folder)
        if not files:
            raise UserError(f"{folder}: the base model's weights are not there any more")
        if any(path.suffix != ".safetensors" for path in files):
            raise UserError(f"{folder}: its weights are no safetensors, which the base model is read from")
        there: dict[str, Path] = {}
        shapes: dict[str, list[int]] = {}
        try:
            for path in files:
                with safe_open(path, framework="pt") as file:
                    for name in file.keys():  # noqa: SIM118 - it is no dict
                        there[name], shapes[name] = path, file.get_slice(name).get_shape()
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: cannot be read ({error})") from None
        names = Names(there)
        self._places: dict[str, tuple[Path, str, Matrix]] = {}
        for matrix in matrices:
            own = names.find(matrix.name)
            if own is None or tuple(shapes[own]) != matrix.shape:
                raise UserError(f"{folder}: its files have no {matrix.rows} x {matrix.cols} matrix {matrix.name}")
            self._places[matrix.name] = there[own], own, matrix

    def read(self, name: str) -> torch.Tensor:
        """The matrix of this parameter name, (rows, cols), in the precision of the files, on the CPU."""
        path, own, matrix = self._places[name]
        with safe_open(path, framework="pt") as file:
            return matrix.of(file.get_tensor(own))


@dataclass(frozen=True)
class Matrix:
    """A weight matrix that moves: its name in the model's files and its shape. What has one dimension is a column.

    That is its Hugging Face parameter name, but for an expert's (`engine.models.experts`): transformers stacks those.
    """

    name: str
    rows: int  # out
    cols: int  # in
    transposed: bool = False  # whether the model and its files hold it as (in, out), as GPT-2 does
    whole: tuple[int, ...] = ()  # the shape that they have it in, where that has other than two dimensions

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the model and its files have it in."""
        return self.whole or ((self.cols, self.rows) if self.transposed else (self.rows, self.cols))

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """Such a tensor as (rows, cols), a view of it."""
        return tensor.T if self.transposed else tensor.view(self.rows, self.cols)


def check_room_aside(matrices: Sequence[Matrix], dtype: torch.dtype) -> None:
    """Raise `UserError` if the host has no memory for the weights of these, to make way for the base model's."""
    needed, free = sum(m.rows * m.cols for m in matrices) * dtype.itemsize, available_memory("cpu", None)
    if needed > free:
        raise UserError(f"the base model cannot be asked: that takes {in_bytes(needed)}, {in_bytes(free)} are free")


_NO_WEIGHTS = ("training_args.bin", "optimizer.bin", "scheduler.bin", "scaler.bin", "random_states_0.bin")


def files_read(folder: Path) -> list[Path]:
    """The files that transformers reads a model's weights from: one, or those that an index names.

    A training program may leave others beside them. Raises `UserError` for an index that is none.
    """
    for single in (folder / "model.safetensors", folder / "pytorch_model.bin"):
        index = single.with_name(f"{single.name}.index.json")
        if single.exists():
            return [single]
        if index.exists():
            return [folder / name for name in sorted(set(read_index(f"model.path: {folder}", index).values()))]
    return []


def weight_files(folder: Path) -> list[Path]:
    """The files of `folder` that may hold weights of a model: safetensors where there are any."""
    pickled = (path for path in folder.glob("*.bin") if path.name not in _NO_WEIGHTS)
    return sorted(folder.glob("*.safetensors")) or sorted(pickled)


def read_pickles(folder: Path) -> dict[str, TensorHeader]:
    """The tensors of a folder's weights that are pickles, without their data; none where there are safetensors.

    Raises `UserError` if they hold more than weights, which unpickling would run. Whoever loads them later refuses to
    run it as well, but later, and in many words.
    """
    found: dict[str, TensorHeader] = {}
    for path in files_read(folder):
        if path.suffix == ".safetensors":
            return {}
        # Of a zip archive, what all but very old ones are, only the description of the tensors is read.
        how: dict[str, Any] = {"map_location": "meta", "mmap": True} if is_zipfile(path) else {"map_location": "cpu"}
        try:
            tensors = torch.load(path, weights_only=True, **how)
            if not (isinstance(tensors, dict) and all(isinstance(one, torch.Tensor) for one in tensors.values())):
                raise ValueError("it holds more than tensors by their names")
            found |= {name: TensorHeader(str(one.dtype), tuple(one.shape)) for name, one in tensors.items()}
        except Exception as error:  # noqa: BLE001 - whatever a file that is something else may raise
            wanted = re.search(r"GLOBAL (\S+)", str(error))
            what = f"would run code ({wanted[1]})" if wanted else f"cannot be read ({first_line(error)})"
            raise UserError(
                f"model.path: {folder}: {path.name} is a pickle that {what}; take the model in safetensors"
            ) from None
    return found
