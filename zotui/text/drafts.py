"""A proposed preset, in words."""

from __future__ import annotations

from engine.protocol.findings import Draft, Shown

_MOST = 600  # characters of a prompt


def lines(found: Draft) -> list[tuple[str, str]]:
    """What stands below its text, as a name and a line: the first rows, and what to check."""
    counted = f"{found.train:,} rows to train on, {found.validation:,} to validate on"
    shown = [(f"row {number}", _row(row)) for number, row in enumerate(found.rows, 1)]
    return [("data", counted), *shown, *(("check", check) for check in found.checks)]


def _row(row: Shown) -> str:
    right = row.options[row.label] if row.label < len(row.options) else ""
    others = [repr(_cut(option)) for number, option in enumerate(row.options) if number != row.label]
    but = f" and not {', '.join(others)}" if others else ""
    return f"{_cut(row.prompt)!r} -> {_cut(right)!r}{but}"


def _cut(text: str) -> str:
    """The two ends of a long text."""
    return text if len(text) <= _MOST else f"{text[: _MOST // 2]} … {text[-_MOST // 2 :]}"
