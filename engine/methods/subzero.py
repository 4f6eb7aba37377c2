"""SubZero: a small core between two orthonormal bases (Yu et al., arXiv 2410.08989).

    P, V orthonormal, kept for nu steps;  Z = P S V^T with S ~ N(0,1)^{r x r},  W <- W - lr g Z

A slot holds the core of its sign alone; P and V are there once. SubZero+ takes many one-sided probes (queries = 31 to
99, sides = "one") and Adam on the core (update = "adam", with a rate of 1e-3 to 1e-2).
"""

from __future__ import annotations

from engine.methods.declaration import Declaration

DECLARATION = Declaration(
    name="subzero",
    summary="a small core between two orthonormal bases",
    source="arXiv 2410.08989",
    brings={
        "direction": "core",
        "rank": 16,
        "interval": 500,
        "eps": 0.001,
        "lr": 1e-06,
    },
    ranges={"lr": (1e-07, 1e-06), "rank": (16, 128), "interval": (500, 2000)},
    fixed=("direction",),
)
