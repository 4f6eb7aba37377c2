"""The weights of a replay: tensors on the CPU that an official trainer's arithmetic moves, shown to a runtime to score.

The tensors round as the official ones do, step after step, whichever runtime scores; it is told their values before
it scores. What moves is a model's own parameters, or the factors of an adapter; those act on the weights that they
stand beside, W + scaling B A, summed in float32 from the W of the files, so that nothing adds up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch

from engine.errors import UserError, first_line
from engine.models.facts import dtype_of, read_model
from engine.parity.recording import RecordedExample, Trajectory, adapter_file
from engine.parity.scoring import loss, scored
from engine.tasks.example import Example
from engine.tasks.objective import Scores

Shape = tuple[int, ...]
Directions = Iterable[tuple[str, torch.Tensor]]
"""What each parameter moves along, in drawing order."""


def check_shapes(path: Path, trajectory: Trajectory, folder: str) -> None:
    """Raise `UserError` for a parameter of another shape than the model's files, or the adapter's, say. Loads nothing.

    What they do not name is left to be refused by who loads them.
    """
    about = trajectory.adapter
    held: dict[str, Shape]
    if about is None:
        moving = read_model(folder, trust_remote_code=False, scope="all").moving
        held = {matrix.name: matrix.shape for matrix in moving}
    else:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(adapter_file(path, about), framework="pt") as file:
                held = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: adapter.file: {about.file} cannot be read ({first_line(error)})") from None
    for name, shape in trajectory.parameters:
        if name in held:
            _refuse_other(path, trajectory, name, tuple(shape), held[name])


def _refuse_other(path: Path, trajectory: Trajectory, name: str, shape: Shape, held: Shape) -> None:
    """Raise `UserError` unless a parameter is as it is held. A vocabulary may have been padded with unnamed rows."""
    if held[1:] != shape[1:] or held[0] < shape[0]:
        of = trajectory.adapter.file if trajectory.adapter else trajectory.model
        raise UserError(f"{path}: parameters: {name} of shape {shape} is {held} in {of}")


class Place(Protocol):
    """Where a replay is scored."""

    def parameter(self, name: str) -> torch.Tensor:
        """A parameter under its Hugging Face name, as a copy on the CPU. Raises `UserError` if there is none."""

    def set_parameters(self, values: Mapping[str, torch.Tensor]) -> None:
        """Set parameters that can be read."""

    def score(self, examples: Sequence[Example]) -> Scores:
        """Score `examples` at the weights as they are."""


class Weights:
    """What moves, by name; `shapes` in drawing order, in which its directions are drawn."""

    def __init__(self, path: Path, trajectory: Trajectory, place: Place) -> None:
        """Raises `UserError` if the model, or the adapter, lacks a recorded parameter."""
        self.shapes = [(name, tuple(shape)) for name, shape in trajectory.parameters]
        self.dtype = dtype_of(trajectory.dtype)
        self._place, self._objective = place, trajectory.objective
        self._adapter = Adapter(path, trajectory, place) if trajectory.adapter else None
        of = trajectory.adapter.file if trajectory.adapter else trajectory.model
        factors = self._adapter.factors if self._adapter else None
        self.tensors: dict[str, torch.Tensor] = {}
        for name, shape in self.shapes:
            if factors is not None and name not in factors:
                raise UserError(f"{path}: parameters: {name} is not in {of}")
            held = factors[name] if factors is not None else place.parameter(name)
            _refuse_other(path, trajectory, name, shape, tuple(held.shape))
            self.tensors[name] = held[: shape[0]].to(self.dtype)
        if self._adapter:
            self._adapter.factors.update(self.tensors)

    def move(self, directions: Directions, scale: float) -> None:
        """Each <- itself + scale times its direction, in its own precision."""
        for name, direction in directions:
            self.tensors[name].add_(scale * direction)

    def loss(self, examples: Sequence[RecordedExample]) -> float:
        """The loss of examples at the weights as they are, in nats."""
        self._place.set_parameters(self._adapter.applied() if self._adapter else self.tensors)
        return loss(self._objective, examples, self._place.score(scored(examples)))


class Adapter:
    """LoRA factors: `….lora_A` (rank x in) and `….lora_B` (out x rank) beside `….weight` (out x in)."""

    def __init__(self, path: Path, trajectory: Trajectory, place: Place) -> None:
        """Raises `UserError` where the file cannot be read or does not fit the model."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        assert trajectory.adapter is not None
        about = trajectory.adapter
        try:
            self.factors = load_file(adapter_file(path, about))
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: adapter.file: {about.file} cannot be read ({first_line(error)})") from None
        self._scaling = about.scaling
        self._weights: dict[str, torch.Tensor] = {}
        for module in sorted({name.rpartition(".")[0] for name in self.factors}):
            weight = place.parameter(f"{module}.weight")
            shapes = {"lora_A": (about.rank, weight.shape[1]), "lora_B": (weight.shape[0], about.rank)}
            for part, shape in shapes.items():
                held = self.factors.get(f"{module}.{part}")
                if held is None or tuple(held.shape) != shape:
                    is_there = "is not there" if held is None else f"has shape {tuple(held.shape)}"
                    raise UserError(
                        f"{path}: adapter.file: {module}.{part} {is_there} in {about.file}; {shape} fits rank"
                        f" {about.rank} and the weight"
                    )
            self._weights[module] = weight

    def applied(self) -> dict[str, torch.Tensor]:
        """The weights as the factors make them."""
        found = {}
        for module, weight in self._weights.items():
            product = self.factors[f"{module}.lora_B"].float() @ self.factors[f"{module}.lora_A"].float()
            found[f"{module}.weight"] = (weight.float() + self._scaling * product).to(weight.dtype)
        return found
