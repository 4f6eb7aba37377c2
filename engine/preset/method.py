"""[method]: how directions are drawn, losses become an estimate, and the estimate moves the weights.

What a preset leaves out is what the method of that name brings (`engine.methods`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, field_validator, model_validator

from engine.methods import catalogue
from engine.methods.catalogue import CONTROL as CONTROL
from engine.methods.catalogue import brings as brings
from engine.methods.catalogue import searched as searched
from engine.methods.knobs import idle as idle
from engine.methods.sense import refuse_nonsense
from engine.preset.section import Section

if TYPE_CHECKING:
    Name = str
else:
    Name = Literal[tuple(catalogue.METHODS)]


_MOST_SHARDS = 4096


class Method(Section):
    name: Name = Field("lozo", description="The zeroth-order method; it brings what is left out below.")
    rank: int = Field(2, ge=1, le=512, description="Rank r of a direction Z = U V^T.")
    interval: int = Field(50, ge=1, description="Steps between redraws of V (nu); each ends in a fold.")
    eps: float = Field(1e-3, gt=0, description="Size of the perturbation W +- eps Z.")
    lr: float = Field(1e-6, gt=0, description="Learning rate.")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="Learning rate over the run: constant, or linear or as a cosine down to 0."
    )
    warm_up: float = Field(0.0, ge=0, lt=1, description="Share of the steps over which the learning rate rises from 0.")
    queries: int = Field(1, ge=1, le=256, description="Directions per step (q), averaged.")
    scope: Literal["linear", "all", "adapter"] = Field(
        "linear",
        description="Which parameters move: every linear layer of the blocks, all, or the factors of an adapter.",
    )
    direction: Literal["low-rank", "subspace", "core", "adapter", "dense"] = Field(
        "low-rank",
        description="How Z is drawn: U V^T; U V^T with orthonormal V; U S V^T with a core S between orthonormal U and "
        "V; the factors of an adapter; or every entry by itself.",
    )
    law: Literal["gaussian", "rademacher"] = Field(
        "gaussian", description="What the factors of a low-rank direction are made of: normals, or signs."
    )
    normalise: Literal["none", "rms"] = Field(
        "none", description="rms divides Z by the square root of the rank, so that an entry has the variance 1."
    )
    moves: Literal["b", "both"] = Field("b", description="Which factors of an adapter move: B alone, or A and B.")
    alpha: float = Field(16.0, gt=0, description="An adapter adds (alpha / rank) B A to its matrix.")
    sides: Literal["two", "one"] = Field(
        "two", description="two scores W + eps Z and W - eps Z; one scores W + eps Z, and W once for all queries."
    )
    shards: int | Literal["examples"] = Field(
        1,
        description="Parts of the batch that have a direction of their own, at no more tokens: a number, or the word "
        "examples, each by itself.",
    )
    radius: Literal["fixed", "kernel"] = Field(
        "fixed",
        description="How far the probes are: eps; or eps times a chance number, which a kernel takes out of the "
        "gradient again.",
    )
    sampling: Literal["shuffled", "stratified"] = Field(
        "shuffled",
        description="How batches are drawn: shuffled; or stratified, any part of a batch with the labels in the "
        "proportions of the data, so that what they pull apart cancels (where there are no labels: shuffled).",
    )
    weights: Literal["plain", "spread", "centred", "rank"] = Field(
        "plain",
        description="What is made of the gradients of a step: nothing, divided by their spread, less the mean of the "
        "others, or their ranks.",
    )
    update: Literal["sgd", "momentum", "adam-scalar", "msign", "adam", "cone"] = Field(
        "sgd",
        description="How the estimate moves the weights: as it is, with momentum, divided by the size that it usually "
        "has, orthogonalised, by Adam on its coordinates, or as it is along directions in a cone around earlier steps.",
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Decay of the mean of earlier estimates (beta, beta_1).")
    angle: float = Field(1.35, gt=0, lt=1.5707, description="Of the cone, in radians; towards pi / 2 there is none.")
    second_momentum: float = Field(0.95, ge=0, lt=1, description="Decay of the mean of their squares (beta_2).")
    carry: Literal["keep", "project", "drop"] = Field(
        "drop", description="What becomes of momentum when the basis is redrawn."
    )
    clip: float = Field(
        0.0, ge=0, description="Clips a gradient at so many times the median of the last 100 steps; 0: never."
    )
    ratchet: bool = Field(
        False, description="On a worse evaluation go back to the best state, and on with half the learning rate."
    )

    @field_validator("lr", "eps", "alpha")
    @classmethod
    def _is_a_float32(cls, value: float) -> float:
        if not 1e-30 <= value <= 1e30:
            raise ValueError("is more or less than a step can be taken with; use 1e-30 to 1e30")
        return value

    @field_validator("shards", mode="wrap")
    @classmethod
    def _number_or_word(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        try:
            found = read(value)
        except ValidationError:
            found = 0
        if found == "examples" or 1 <= found <= _MOST_SHARDS:
            return found
        raise ValueError(f"is neither a number from 1 to {_MOST_SHARDS:,} nor the word examples")

    @model_validator(mode="before")
    @classmethod
    def _as_named(cls, data: Any) -> Any:
        """What is left out is what the name brings; an unknown name is refused by its field."""
        if not isinstance(data, dict):
            return data
        return {**brings(data.get("name", "lozo")), **data}

    @model_validator(mode="after")
    def _makes_sense(self) -> Method:
        refuse_nonsense(self)
        return self

    def parts(self, batch: int) -> int:
        """Shards of a batch of so many examples."""
        return batch if self.shards == "examples" else self.shards

    def directions(self, batch: int) -> int:
        """Directions of a step with such a batch."""
        return self.queries * self.parts(batch)


def set_for_nothing(method: Method) -> list[str]:
    """The keys that are other than they are brought, and change nothing."""
    brought = {name: field.default for name, field in Method.model_fields.items()} | dict(brings(method.name))
    return [f"method.{key}" for key in sorted(idle(method)) if getattr(method, key) != brought[key]]
