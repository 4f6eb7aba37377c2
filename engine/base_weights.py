"""The matrices of a model as its own files hold them, one at a time and without loading the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from engine.directions import Matrix
from engine.errors import UserError
from engine.model_files import weight_files


class BaseWeights:
    """Finds every matrix under its parameter name; files may leave out the `model.` at its beginning, or add one."""

    def __init__(self, folder: Path, matrices: Sequence[Matrix]) -> None:
        """Raises `UserError` if the files do not hold exactly these matrices, as safetensors."""
        files = weight_files(folder)
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
        self._places: dict[str, tuple[Path, str]] = {}
        for matrix in matrices:
            names = (matrix.name, matrix.name.removeprefix("model."), f"model.{matrix.name}")
            own = next((name for name in names if name in there), None)
            if own is None or shapes[own] != [matrix.rows, matrix.cols]:
                raise UserError(f"{folder}: its files have no {matrix.rows} x {matrix.cols} matrix {matrix.name}")
            self._places[matrix.name] = there[own], own

    def read(self, name: str) -> torch.Tensor:
        """The matrix of this parameter name, in the precision of the files, on the CPU."""
        path, own = self._places[name]
        with safe_open(path, framework="pt") as file:
            return file.get_tensor(own)
