"""What `zotui parity` and `zotui bench` print: JSON lines, numbers that are not finite as null."""

from __future__ import annotations

import msgspec

_Number = float | None | msgspec.UnsetType
_Numbers = list[float | None] | msgspec.UnsetType


class ParityRow(msgspec.Struct, tag_field="type", tag="row", frozen=True, kw_only=True):
    """One step as both sides took it. Losses in nats; lists have one for every query.

    A row has the figures that its kind of step has: two losses and a projected gradient; many of each; or, where
    probes are of one side, the loss at the weights themselves, those of the queries and what the update multiplies.
    """

    step: int
    loss_base: _Number = msgspec.UNSET
    loss_plus: _Number = msgspec.UNSET
    loss_minus: _Number = msgspec.UNSET
    loss_after: _Number = msgspec.UNSET
    losses: _Numbers = msgspec.UNSET
    losses_plus: _Numbers = msgspec.UNSET
    losses_minus: _Numbers = msgspec.UNSET
    projected_grad: _Number = msgspec.UNSET
    projected_grads: _Numbers = msgspec.UNSET
    coefficients: _Numbers = msgspec.UNSET
    seconds: float | None  # null where it is not known, as of a recording
    reference_loss_base: _Number = msgspec.UNSET
    reference_loss_plus: _Number = msgspec.UNSET
    reference_loss_minus: _Number = msgspec.UNSET
    reference_loss_after: _Number = msgspec.UNSET
    reference_losses: _Numbers = msgspec.UNSET
    reference_losses_plus: _Numbers = msgspec.UNSET
    reference_losses_minus: _Numbers = msgspec.UNSET
    reference_projected_grad: _Number = msgspec.UNSET
    reference_projected_grads: _Numbers = msgspec.UNSET
    reference_coefficients: _Numbers = msgspec.UNSET
    reference_seconds: float | None
    loss_diff: float | None  # the largest of the differences of all losses
    grad_diff: float | None  # likewise of the estimate
    same_sign: bool  # of every number of the estimate
    steps: int  # that are compared in all


class ParitySummary(msgspec.Struct, tag_field="type", tag="summary", frozen=True, kw_only=True, omit_defaults=True):
    """What the rows come to, and what was compared with what."""

    steps: int
    max_loss_diff: float | None  # nats
    max_grad_rel_diff: float | None  # of the rms of the reference's projected gradients, or coefficients
    sign_agreement: float  # share of steps, 0..1
    first_difference: int | None  # the first step beyond the tolerance
    ok: bool  # no step is
    tolerance: float  # nats
    runtime: str
    reference: str
    family: str = ""  # of a recording only, as are the next two
    scope: str = ""
    objective: str = ""


AnyParity = ParityRow | ParitySummary


class PathFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step by one path, over all of its turns.

    Seconds include the step's share of what the path does once an interval: a fold with vllm and the public API, a
    redraw with the loop, nothing with the floor.
    """

    median_s: float
    min_s: float
    max_s: float
    tokens: int  # scored in a step
    peak_bytes: int
    padded_tokens: int | None = None  # of the loop: with the padding that goes through the model


class BenchFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one model at one batch size; null for what was not to be timed."""

    model: str
    device: str
    rounds: int
    dtype: str
    batch_size: int
    options: int
    option_tokens: int
    length: int | None  # tokens of every prompt; null: as long as SST-2's
    rank: int
    queries: int
    method: str = "lozo"
    interval: int  # steps of which each has an equal share of a fold
    loop: PathFigures | None
    vllm: PathFigures | None
    floor: PathFigures | None
    public: PathFigures | None
    speedup: float | None  # of vllm over the loop
    floor_ratio: float | None  # vllm's step over the floor's, of neighbouring turns
    overhead_share: float | None  # of vllm's step, outside the forward pass: its share of a fold is
    fold_s: float | None  # of vllm and the public API; a step without it: its seconds - fold_s / interval
    redraw_s: float | None  # of the loop, which folds nothing; likewise
    recorded_shapes: int | None  # shapes of a pass that are CUDA graphs
    loss_difference: float | None  # of the first step of both sides, in nats
    threads: int
    parameters: int
    scope_parameters: int
    factors_per_rank: int  # numbers that the factors of all directions have for every rank
    hardware: dict[str, str | int]
    versions: dict[str, str]
