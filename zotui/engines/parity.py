"""`zotui parity`: start the comparing engine, pass its rows on or set them as a table."""

from __future__ import annotations

from collections.abc import Iterable


def _median(seconds: Iterable[float | None]) -> float | None:
    known = sorted(one for one in seconds if one)
    return known[len(known) // 2] if known else None
