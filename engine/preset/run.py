"""[run]: how long, in which batches, and what is kept of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from engine.preset.section import Section


def _as_list(value: Any) -> Any:
    """`--set run.track=wandb` is a list of one."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class Run(Section):
    steps: int = Field(1000, ge=1, description="Optimisation steps.")
    batch_size: int = Field(16, ge=1, description="Examples per step.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the sample, the batches and the directions.")
    eval_every: int | None = Field(None, ge=1, description="Steps between evaluations; unset is only before and after.")
    patience: int | None = Field(
        None,
        ge=0,
        description="Stop early after so many evaluations without a better validation loss; unset or 0: never.",
    )
    checkpoint_every: int | None = Field(
        None, ge=1, description="Steps between checkpoints; unset is only when asked, for the best, and at the end."
    )
    keep_checkpoints: int = Field(
        2, ge=1, description="How many checkpoints are kept: the newest so many, and the best evaluated one."
    )
    checkpoint_best: bool = Field(
        True, description="Whether an evaluation that is the best so far writes a checkpoint, which is kept."
    )
    when_app_leaves: Literal["go-on", "stop"] = Field(
        "go-on",
        description="What a run does when its app leaves and none is attached: go-on to its end, or stop and save.",
    )
    track: Annotated[list[Literal["tensorboard", "trackio", "wandb"]], BeforeValidator(_as_list)] = Field(
        [], description="Where the figures are logged as well: a list of tensorboard, trackio and wandb."
    )
