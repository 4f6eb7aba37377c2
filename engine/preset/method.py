"""[method]: how directions are drawn and steps taken."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine.preset.section import Section


class Method(Section):
    name: Literal["lozo"] = Field("lozo", description="The zeroth-order method.")
    rank: int = Field(2, ge=1, le=512, description="Rank r of a direction Z = U V^T.")
    interval: int = Field(50, ge=1, description="Steps between redraws of V (nu); each ends in a fold.")
    eps: float = Field(1e-3, gt=0, le=1e30, description="Size of the perturbation W +- eps Z.")
    lr: float = Field(1e-6, gt=0, description="Learning rate.")
    schedule: Literal["constant", "linear"] = Field(
        "constant", description="Learning rate over the run: constant, or linear down to 0."
    )
    queries: int = Field(1, ge=1, le=256, description="Directions per step (q), averaged.")
    scope: Literal["linear"] = Field(
        "linear", description="Which parameters move: linear is every linear layer of the blocks."
    )
