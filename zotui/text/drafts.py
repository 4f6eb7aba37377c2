"""A proposed preset, in words."""

from __future__ import annotations

from engine.protocol.findings import Draft, Shown

_MOST = 600  # characters of a prompt


def lines(found: Draft) -> list[tuple[str, str]]:
    """What stands below its text, as a name and a line: the first rows, and what to check."""
    shown = [(f"row {number}", _row(row)) for number, row in enumerate(found.rows, 1)]
    return [("data", counted(found)), *shown, *(("check", check) for check in found.checks)]


def counted(found: Draft) -> str:
    """How many rows there are for what."""
    return f"{found.train:,} rows to train on, {found.validation:,} to validate on"


def checks(found: Draft) -> list[str]:
    """What is to be checked, for whoever has no command line to set it by."""
    return [check.replace("--set ", "") for check in found.checks]


def _row(row: Shown) -> str:
    right = row.options[row.label] if row.label < len(row.options) else ""
    others = [repr(cut(option)) for number, option in enumerate(row.options) if number != row.label]
    but = f" and not {', '.join(others)}" if others else ""
    return f"{cut(row.prompt)!r} -> {cut(right)!r}{but}"


def cut(text: str) -> str:
    """The two ends of a long text."""
    return text if len(text) <= _MOST else f"{text[: _MOST // 2]} … {text[-_MOST // 2 :]}"
