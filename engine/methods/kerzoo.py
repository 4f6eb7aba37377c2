"""KerZOO: probes at chance distances, weighed by a kernel that cancels the error of the order eps^2.

r ~ U(-1, 1) for each query,  g = (L(W + eps r Z) - L(W - eps r Z)) / (2 eps),  W <- W - lr K(r) g Z
K(r) = 15/4 r (5 - 7 r^2), so that E[K(r) r] = 1 and E[K(r) r^3] = 0
"""

from __future__ import annotations

from engine.methods.declaration import Declaration

DECLARATION = Declaration(
    name="kerzoo",
    summary="LoZO at chance distances, weighed by a kernel against the error of large eps",
    source="KerZOO, by the formula that a copy of it has; no official code",
    brings={
        "direction": "low-rank",
        "radius": "kernel",
        "rank": 2,
        "interval": 50,
        "eps": 1e-3,
        "lr": 1e-6,
    },
    ranges={"lr": (1e-07, 1e-06)},
    fixed=("direction", "radius", "update"),
)
