"""Recorded trajectories of the official trainers (`zo-trajectory/1` and `/2`): what each step scored, what it found.

Which figures a step has depends on how it probes; `FIGURES` names them, and so does all that shows them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from engine.errors import UserError
from engine.models import hub
from engine.tasks.objective import Objective

FORMATS = ("zo-trajectory/1", "zo-trajectory/2")

Family = Literal["lozo", "mezo", "lozo-m", "fzoo", "zo-muon", "hizoo", "p-rge", "conmezo"]
Seed = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class RecordedMethod(msgspec.Struct, frozen=True):
    """How the weights moved. What is None does not belong to the family."""

    family: Family
    scope: Literal["linear", "all", "adapter"]
    eps: float
    lr: float
    lr_schedule: str = "constant"
    weight_decay: float = 0.0
    rank: AtLeastOne | None = None
    interval: AtLeastOne | None = None
    beta: float | None = None  # of lozo-m; ConMeZO's is each step's own
    queries: AtLeastOne | None = None
    sided: Literal["one", "two"] | None = None  # of zo-muon, as are the next two
    update: Literal["newton-schulz", "svd", "plain"] | None = None
    lr_vectors: float = 1e-7
    mode: Literal["dual", "single"] | None = None  # of p-rge: both signs in one forward pass, or not
    shards: bool = False  # of p-rge: a query scores its own part of the batch
    theta: float | None = None  # of conmezo, in radians, as is the next
    first_seed: Seed | None = None


class RecordedAdapter(msgspec.Struct, frozen=True):
    """LoRA factors before step 0, in a safetensors file beside the recording: W x + scaling B (A x)."""

    file: str
    rank: int
    scaling: float


class RecordedExample(msgspec.Struct, frozen=True):
    """One example: a sequence of token ids for every option, whose last `option_lens` tokens are the option."""

    sequences: list[list[int]]
    option_lens: list[int]
    label: int = 0


class RecordedStep(msgspec.Struct, frozen=True):
    """One step, as it was taken. Lists of figures have one for every query; None is what steps of its kind lack."""

    step: int
    examples: list[RecordedExample]
    lr: float | None = None  # the rate that acted; None of /1, whose rate is the method's
    seed: Seed | None = None
    seeds: list[Seed] | None = None
    loss_base: float | None = None
    loss_plus: float | None = None
    loss_minus: float | None = None
    loss_after: float | None = None
    losses: list[float] | None = None
    losses_plus: list[float] | None = None
    losses_minus: list[float] | None = None
    projected_grad: float | None = None
    projected_grads: list[float] | None = None
    coefficients: list[float] | None = None
    smooth: float | None = None  # of hizoo
    beta: float | None = None  # of conmezo, from step 1 on


class Trajectory(msgspec.Struct, frozen=True):
    """A recording. `parameters` are (name, shape), in the order in which directions were drawn for them."""

    format: str
    model: str
    objective: Objective
    method: RecordedMethod
    parameters: list[tuple[str, list[AtLeastOne]]]
    steps: list[RecordedStep]
    source: str = ""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    adapter: RecordedAdapter | None = None

    def rate(self, step: RecordedStep) -> float:
        """The learning rate that acted in a step."""
        return self.method.lr if step.lr is None else step.lr


Kind = Literal["two-sided", "with curvature", "one-sided", "many two-sided"]

FIGURES: dict[Kind, tuple[tuple[str, ...], str]] = {
    "two-sided": (("loss_plus", "loss_minus"), "projected_grad"),
    "with curvature": (("loss_base", "loss_plus", "loss_minus", "loss_after"), "projected_grad"),
    "one-sided": (("loss_base", "losses"), "coefficients"),
    "many two-sided": (("losses_plus", "losses_minus"), "projected_grads"),
}
"""The losses of a kind of step, and the estimate that its update multiplies."""


def kind_of(method: RecordedMethod) -> Kind:
    """How the steps of a method probe."""
    if method.family == "hizoo":
        return "with curvature"
    if method.family == "p-rge":
        return "many two-sided"
    if method.family == "fzoo" or (method.family == "zo-muon" and method.sided == "one"):
        return "one-sided"
    return "two-sided"


def read_trajectory(path: Path) -> Trajectory:
    """Read and check a recording. Raises `UserError`, naming the place."""
    from engine.parity.checks import problem

    try:
        content = path.read_bytes()
        form = msgspec.json.decode(content, type=_Form).format
        if form not in FORMATS:
            known = " and ".join(map(repr, FORMATS))
            raise UserError(f"{path}: format: {form!r} is not known; this zotui reads {known}")
        trajectory = msgspec.json.decode(content, type=Trajectory)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # ValidationError is the former
        raise UserError(f"{path}: not a recorded trajectory: {error}") from None
    if found := problem(trajectory):
        raise UserError(f"{path}: {found}")
    if trajectory.adapter is not None and not adapter_file(path, trajectory.adapter).is_file():
        raise UserError(f"{path}: adapter.file: there is no {trajectory.adapter.file} beside it")
    return trajectory


def adapter_file(path: Path, adapter: RecordedAdapter) -> Path:
    """Where the adapter of a recording lies."""
    return path.absolute().parent / adapter.file


def model_folder(path: Path, trajectory: Trajectory) -> str:
    """The model of a recording: a relative path is looked up beside the file's folder, else it may be a hub id.

    Raises `UserError` where there is none.
    """
    beside = path.absolute().parent.parent / trajectory.model
    model = hub.find_model(str(beside) if beside.exists() else trajectory.model)
    return hub.download(model, lambda fraction, detail: None)


class _Form(msgspec.Struct):
    """What says how to read the rest."""

    format: str
