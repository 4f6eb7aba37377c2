"""Every method by its name."""

from __future__ import annotations

from collections.abc import Mapping

from engine.methods import (
    conmezo,
    fast,
    fzoo,
    grzo,
    kerzoo,
    lozo,
    lozo_m,
    mezo,
    mezo_factorized,
    mezo_lora,
    mobizo,
    subzero,
    zo_muon,
)
from engine.methods.declaration import Declaration

_PAGES = (fast, lozo, lozo_m, mezo, mezo_lora, mezo_factorized, mobizo, fzoo, grzo, zo_muon, subzero, kerzoo, conmezo)

METHODS: dict[str, Declaration] = {page.DECLARATION.name: page.DECLARATION for page in _PAGES}


CONTROL = ("schedule", "warm_up", "clip", "ratchet")
"""Keys of `[method]` that belong to no method: a preset's own hold for any."""


def brings(name: object) -> Mapping[str, object]:
    """The keys that the method of this name brings; none if there is no such method."""
    found = METHODS.get(name) if isinstance(name, str) else None
    return found.brings if found else {}


def searched(name: str, key: str) -> tuple[float, float] | None:
    """From where to where a method's authors search a key of `[method]`; None where they say nothing of it."""
    return METHODS[name].ranges.get(key) if name in METHODS else None
