"""What `zotui parity` shows: a line for a step of two losses, a line for every loss of any other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from engine.protocol.figures import ParityRow, ParitySummary
from engine.text import plain

_PLAIN = ("step", "loss plus", "reference", "loss minus", "reference", "g", "reference", "largest diff")
_PLAIN_WIDTHS = (6, 11, 11, 11, 11, 12, 12, 12)
_LISTED = ("step", "at", "loss", "reference", "g", "reference", "difference")
_LISTED_WIDTHS = (6, 9, 11, 11, 12, 12, 12)
_OTHER_SIGN = "  other sign"

_Line = tuple[str, str, int | None, str, int | None]
"""What a line shows: where, its loss and its estimate by their fields and places in them, "" for none."""


def header(row: ParityRow) -> str:
    """The columns' names, for rows of this one's kind."""
    if _is_plain(row):
        return _line(_PLAIN, _PLAIN_WIDTHS)
    weighted = row.coefficients is not msgspec.UNSET
    return _line(["coefficient" if name == "g" and weighted else name for name in _LISTED], _LISTED_WIDTHS)


def lines(row: ParityRow) -> str:
    """A step; of a line for every loss, the first begins with the step."""
    if _is_plain(row):
        cells = [str(row.step)]
        for name, digits in (("loss_plus", 7), ("loss_minus", 7), ("projected_grad", 5)):
            cells += [_number(_figure(row, side + name), f".{digits}f") for side in ("", "reference_")]
        cells.append(_number(row.loss_diff, ".1e"))
        return _line(cells, _PLAIN_WIDTHS) + ("" if row.same_sign else _OTHER_SIGN)
    shown: list[str] = []
    for where, loss, index, estimate, place in _listed(row):
        ours, theirs = (_figure(row, side + loss, index) for side in ("", "reference_"))
        found = [_figure(row, side + estimate, place) for side in ("", "reference_")] if estimate else []
        differ = None if ours is None or theirs is None else abs(ours - theirs)
        cells = ["" if shown else str(row.step), where, *(_number(value, ".7f") for value in (ours, theirs))]
        cells += [_number(value, ".5f") for value in found] or ["", ""]
        other = len(found) == 2 and None not in found and found[0] != found[1] and found[0] * found[1] <= 0
        shown.append(_line([*cells, _number(differ, ".1e")], _LISTED_WIDTHS) + (_OTHER_SIGN if other else ""))
    return "\n".join(shown)


def summary_lines(summary: ParitySummary, rows: Sequence[ParityRow]) -> str:
    """What the rows came to."""
    estimate = "g" if not rows or rows[0].coefficients is msgspec.UNSET else "a coefficient"
    verdict = "within" if summary.ok else "NOT within"
    figures = {
        "largest difference of a loss": f"{_number(summary.max_loss_diff, '.2e')} nats",
        f"largest difference of {estimate} over its rms": _number(summary.max_grad_rel_diff, ".2e"),
        f"same sign of {estimate}": f"{summary.sign_agreement:.1%} of the steps",
    }
    width = max(map(len, figures))
    found = [
        f"{summary.runtime} against {plain(summary.reference)}: {summary.steps} steps, {verdict} {summary.tolerance:g}",
        *(f"{label.ljust(width)} {figure}" for label, figure in figures.items()),
    ]
    if summary.first_difference is not None:
        found.append(f"first step beyond the tolerance: {summary.first_difference}")
    # The first step also warms up.
    ours, theirs = _median(row.seconds for row in rows[1:]), _median(row.reference_seconds for row in rows[1:])
    if ours and theirs:
        found.append(f"median step: {ours:.3f} s, {theirs:.3f} s on the training loop ({theirs / ours:.1f}x)")
    return "\n".join(found)


def _is_plain(row: ParityRow) -> bool:
    return row.loss_plus is not msgspec.UNSET and row.loss_base is msgspec.UNSET


def _listed(row: ParityRow) -> list[_Line]:
    """The lines of a step of more than two losses."""
    if row.losses is not msgspec.UNSET:
        each = [(f"query {i}", "losses", i, "coefficients", i) for i in range(len(row.losses))]
        return [("base", "loss_base", None, "", None), *each]
    if row.losses_plus is not msgspec.UNSET:
        return [
            line
            for i in range(len(row.losses_plus))
            for line in (
                (f"query {i} +", "losses_plus", i, "", None),
                (f"query {i} -", "losses_minus", i, "projected_grads", i),
            )
        ]
    return [
        ("base", "loss_base", None, "", None),
        ("plus", "loss_plus", None, "", None),
        ("minus", "loss_minus", None, "projected_grad", None),
        ("after", "loss_after", None, "", None),
    ]


def _figure(row: ParityRow, name: str, index: int | None = None) -> Any:
    """A number of a row, None where it is not finite."""
    value = getattr(row, name)
    return value if index is None else value[index]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def _number(value: float | None, form: str) -> str:
    return "not finite" if value is None else format(value, form)


def _median(seconds: Iterable[float | None]) -> float | None:
    known = sorted(one for one in seconds if one)
    return known[len(known) // 2] if known else None
