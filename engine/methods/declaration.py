"""What a method is: a name for a way to draw directions, to estimate and to update, with its authors' settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Declaration:
    """One method.

    Attributes: name, as a preset says it; summary, one line; source, where it is from; brings, what the keys of
    `[method]` are where a preset leaves them out; ranges, from where to where its authors search, or take, some of
    these, of fast where it was measured; fixed, the keys that make it this method: a preset that sets them otherwise is
    refused, since it would be another one; departs, where the official code departs from the paper, or we from both.
    """

    name: str
    summary: str
    source: str
    brings: Mapping[str, object] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    fixed: tuple[str, ...] = ()
    departs: str = ""
