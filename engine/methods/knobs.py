"""Which keys of `[method]` matter to a method as it stands, for those who show them."""

from __future__ import annotations

from typing import Protocol


class Chosen(Protocol):
    """The keys that decide about the others."""

    @property
    def direction(self) -> str: ...
    @property
    def moves(self) -> str: ...
    @property
    def update(self) -> str: ...
    @property
    def momentum(self) -> float: ...


def idle(method: Chosen) -> set[str]:
    """The keys that change nothing, as the others are."""
    found = set()
    if method.direction != "low-rank":
        found |= {"law", "normalise"}
    if method.direction != "adapter":
        found |= {"moves", "alpha"}
    if method.direction in ("adapter", "dense"):
        found.add("carry")
    if method.direction == "dense":
        found |= {"rank", "shards"}
    if method.update == "sgd":
        found |= {"momentum", "second_momentum", "carry"}
    if method.update != "cone":
        found.add("angle")
    if method.update in ("momentum", "msign", "cone"):
        found.add("second_momentum")
    if method.update == "adam-scalar":
        found.add("momentum")
    if method.update == "msign" and not method.momentum:
        found.add("carry")
    return found
