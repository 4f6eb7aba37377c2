"""What was found, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.rehearsal.cases import Case
from tests.rehearsal.verdict import Figures

_HEAD = (
    "vLLM", "card", "model", "dtype", "method", "rank", "queries", "options", "graphs", "loss off by", "waits a step",
    "kernels a step", "launches", "waits a fold", "kernels a fold", "of matrices", "self-check", "seconds", "",
)  # fmt: skip


@dataclass
class Row:
    """A case and what came of it."""

    case: Case
    figures: Figures | None = None
    self_check: str = ""
    problems: list[str] = field(default_factory=list)
    fine: bool = False
    seconds: float = 0.0


def lines(rows: Sequence[Row]) -> list[str]:
    """The table in Markdown."""
    cells = [_HEAD, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    told = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in cells]
    return [told[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *told[1:]]


def _cells(row: Row) -> tuple[str, ...]:
    case, found = row.case, row.figures
    of_case = (case.version, case.card, case.model, case.dtype)
    if case.counting or case.on_gpu:
        of_verbs = ("",) * 5
    elif case.engine:
        of_verbs = ("", "", "", "", "on" if case.graphs else "off")
    else:
        of_verbs = (
            case.variant,
            *map(str, (case.rank, case.queries, case.option_tokens)),
            "on" if case.graphs else "off",
        )
    counts = ("",) * 7
    if found is not None:
        counts = (
            f"{found.loss_off:.1g}",
            *map(str, (found.waits, found.kernels, found.launches)),
            *map(str, (found.fold_waits, found.fold_kernels, found.matrices)),
        )
    agreed = row.self_check.partition(" to ")[2] or row.self_check
    problem = "; ".join(text.partition(" (")[0] for text in row.problems) if not row.fine else ""
    if case.broken:
        problem = f"broken on purpose ({case.broken}): " + ("said so" if row.fine else "NOT SEEN")
    elif not problem:
        problem = _what(case)
    return (*of_case, *of_verbs, *counts, agreed, f"{row.seconds:.0f}", problem)


def _what(case: Case) -> str:
    """What a case without figures is, and what is not in its columns."""
    if case.on_gpu:
        return "fifteen minutes on a card"
    if case.engine:
        return "the engine, end to end"
    return "the counting" if case.counting else "" if case.fold == "auto" else f"fold {case.fold}"
