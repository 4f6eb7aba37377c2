"""Methods as they are tested: all of the catalogue, and combinations of their pieces, for tiny models."""

from __future__ import annotations

from typing import Any

from engine.methods.catalogue import METHODS
from engine.preset.method import Method

INTERVAL = 10

# An orthonormal basis has columns of the length 1, where others have entries of the size 1: eps and lr are larger.
_OWN: dict[str, dict[str, Any]] = {
    "lozo": {"lr": 1e-4},
    "lozo-m": {"lr": 1e-4},
    "mezo-factorized": {"rank": 16, "lr": 1e-4, "interval": 1},
    "fzoo": {"queries": 3, "lr": 2e-4},
    "grzo": {"shards": 4, "lr": 2e-4},
    "zo-muon": {"rank": 8, "queries": 3, "eps": 0.1, "lr": 1e-3},
    "kerzoo": {"lr": 1e-4},
    "conmezo": {"lr": 1e-4},
    "subzero": {"rank": 8, "eps": 0.3, "lr": 1e-2},
    "fast": {"shards": 4, "queries": 2, "lr": 2e-4},
}
"""What differs from a page's own settings, which are for large models."""

_COMBINED: dict[str, dict[str, Any]] = {
    "lozo, two queries, a linear rate": {"name": "lozo", "queries": 2, "schedule": "linear", "warm_up": 0.2},
    "lozo, weighed by rank": {"name": "lozo", "queries": 3, "weights": "rank", "lr": 1e-3},
    "lozo-m, kept, over shards": {"name": "lozo-m", "carry": "keep", "shards": 3, "normalise": "rms"},
    "lozo-m, dropped": {"name": "lozo-m", "carry": "drop"},
    "mezo-factorized, one side": {"name": "mezo-factorized", "rank": 3, "interval": 10, "sides": "one", "queries": 2},
    "mezo-factorized, shards of signs, centred": {
        "name": "mezo-factorized", "rank": 2, "interval": 10, "law": "rademacher", "shards": 4, "weights": "centred",
        "lr": 1e-5,
    },
    "fzoo over shards": {"name": "fzoo", "queries": 2, "shards": 4},
    "grzo, shards that are no divisor, two queries": {"name": "grzo", "shards": 3, "queries": 2},
    "grzo, adam-scalar": {"name": "grzo", "update": "adam-scalar", "carry": "keep", "lr": 1e-4},
    "zo-muon, momentum, two sides": {
        "name": "zo-muon", "momentum": 0.9, "carry": "project", "sides": "two", "queries": 1,
    },
    "zo-muon over shards": {"name": "zo-muon", "shards": 4, "queries": 1, "sides": "two"},
    "subzero+": {
        "name": "subzero", "update": "adam", "sides": "one", "queries": 4, "lr": 2e-3, "carry": "project",
    },
    "kerzoo, two queries of shards": {"name": "kerzoo", "queries": 2, "shards": 2},
    "conmezo, kept, two queries of shards": {"name": "conmezo", "carry": "keep", "queries": 2, "shards": 2},
    "subzero, momentum over shards": {
        "name": "subzero", "rank": 2, "update": "momentum", "carry": "project", "shards": 2,
    },
}  # fmt: skip

IN_SLOTS = [name for name, page in METHODS.items() if page.brings["direction"] not in ("adapter", "dense")]
"""Methods that low-rank slots are for; the others have tests of their own (`tests/engine/runtimes/test_scopes.py`)."""

SHORT = [
    *IN_SLOTS, "mezo-factorized, shards of signs, centred", "grzo, shards that are no divisor, two queries",
    "grzo, adam-scalar", "zo-muon, momentum, two sides", "subzero+", "subzero, momentum over shards",
]  # fmt: skip
"""Cases that have each kind of each piece."""
CASES: dict[str, dict[str, Any]] = {name: {"name": name} for name in IN_SLOTS} | _COMBINED
"""By name: what a preset would say."""


def method(case: str, **others: Any) -> Method:
    """That of a case, with other keys set as well."""
    return Method(**{**_keys(case), **others})


def settings(case: str) -> list[str]:
    """The same for `--set`."""
    return [f"method.{key}={value}" for key, value in _keys(case).items()]


def _keys(case: str) -> dict[str, Any]:
    keys = CASES[case]
    return {"eps": 1e-2, "interval": INTERVAL, **_OWN[keys["name"]], **keys}
