"""What is wrong with what a case found: losses, graphs, and the budgets of kernels and waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.rehearsal import work
from tests.rehearsal.cases import Case

# Nats that a loss may differ from that of float32 on the CPU at the same weights.
TOLERANCE = {"float32": 1e-4, "float16": 0.005, "bfloat16": 0.05}
WAITS_A_STEP = 1  # of dense directions one for each sign: the weights of the other are written over it
WAITS_A_FOLD = 1
KERNELS_A_MATRIX = 3  # of a fold
KERNELS_A_CROSSING = 5  # of a matrix whose momentum is brought over to the new basis
KERNELS_A_BASIS = 6  # more, of every matrix, for an orthonormal one: a QR in float64, its signs, and back
KERNELS_OF_40_BLOCKS = 910  # of a step at OPT-13B's 40 blocks


@dataclass(frozen=True)
class Figures:
    """A row of the table; counts are the most of any step, without those that record a graph."""

    loss_off: float  # nats
    waits: int
    kernels: int
    launches: int  # what the host does for them: a graph is one
    fold_waits: int
    fold_kernels: int
    matrices: int


def figures(found: dict[str, Any], reference: Sequence[dict[str, Any]]) -> Figures:
    """What a case's process found, in numbers."""
    steady = [step["step"] for step in found["steps"] if not step["recording"]]
    folds = [step["fold"] for step in found["steps"][work.INTERVAL :] if "fold" in step]
    return Figures(
        loss_off=max(
            abs(ours - theirs)
            for step, wanted in zip(found["steps"], reference, strict=True)
            for query, right in zip(step["losses"], wanted["losses"], strict=True)
            for ours, theirs in zip(query, right, strict=True)
        ),
        waits=max(step["waits"] for step in steady),
        kernels=max(step["kernels"] for step in steady),
        launches=max(step["launches"] for step in steady),
        fold_waits=max(fold["waits"] for fold in folds),
        fold_kernels=max(fold["kernels"] for fold in folds),
        matrices=found["matrices"],
    )


def problems(case: Case, found: dict[str, Any], eager: dict[str, Any] | None, row: Figures) -> list[str]:
    """All that is wrong, a line each; `eager` is the same case without graphs."""
    wrong = []
    if not row.loss_off <= TOLERANCE[case.dtype]:
        wrong.append(f"a loss is off by {row.loss_off:.2g} nats, {TOLERANCE[case.dtype]:g} is allowed")
    if "agrees" not in found["self_check"]:
        wrong.append(f"the self-check says: {found['self_check']}")
    method = work.method(asdict(case))
    direction = method.direction
    waits = WAITS_A_STEP * (2 if direction == "dense" else 1)
    if row.waits > waits:
        wrong.append(f"waits a step: {row.waits}, {waits} allowed{_where(found, 'step', 'wait_lines')}")
    if case.model == "opt-40" and row.kernels > KERNELS_OF_40_BLOCKS:
        lines = _where(found, "step", "kernel_lines")
        wrong.append(f"kernels a step: {row.kernels}, {KERNELS_OF_40_BLOCKS} are allowed{lines}")
    # A residual of the host's is copied there and back.
    a_matrix = KERNELS_A_MATRIX + (2 if case.fold == "host-residual" else 0)
    a_matrix += {"subspace": KERNELS_A_BASIS, "core": 2 * KERNELS_A_BASIS + 1}.get(direction, 0)  # and a core is lifted
    if method.update != "sgd" and method.momentum and method.carry == "project":
        a_matrix += KERNELS_A_CROSSING
    if row.fold_kernels > a_matrix * row.matrices:
        lines = _where(found, "fold", "kernel_lines")
        wrong.append(f"kernels a fold: {row.fold_kernels}, {a_matrix} x {row.matrices} are allowed{lines}")
    if row.fold_waits > WAITS_A_FOLD:
        wrong.append(f"waits a fold: {row.fold_waits}, {WAITS_A_FOLD} is allowed{_where(found, 'fold', 'wait_lines')}")
    if not isinstance(found["generated"], list) and case.dtype != "float32":
        wrong.append(f"nothing was generated: {found['generated']}")
    if case.graphs and not (found["recorded"] and any(step["step"]["replays"] for step in found["steps"])):
        wrong.append("no graph was recorded and replayed")
    if eager is not None:
        pairs = zip(found["steps"], eager["steps"], strict=True)
        other = [step for step, (one, two) in enumerate(pairs) if one["losses"] != two["losses"]]
        if other:
            wrong.append(f"losses without graphs are others, at steps {', '.join(map(str, other))}")
    return wrong


def _where(found: dict[str, Any], what: str, lines: str) -> str:
    """The lines that cause the most, of the last step or fold that has any."""
    told = [step[what][lines] for step in found["steps"] if what in step and not (what == "step" and step["recording"])]
    most = sorted(told[-1].items(), key=lambda item: -item[1])[:4]
    return " (" + ", ".join(f"{count} at {line}" for line, count in most) + ")"
