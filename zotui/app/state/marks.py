"""What happened at which step, for the timeline."""

from __future__ import annotations

from typing import Literal, NamedTuple

MarkKind = Literal["evaluation", "checkpoint", "pause", "resume", "change", "return"]


class Mark(NamedTuple):
    """Something that happened at a step."""

    step: int
    kind: MarkKind
