"""MeZO: every parameter moves along its own normal (Malladi et al., arXiv 2305.17333, Algorithm 1).

    z ~ N(0, I),  g = (L(W + eps z) - L(W - eps z)) / (2 eps),  W <- W - lr g z

The directions are as large as the weights: they are drawn from a seed and added to the weights themselves.
"""

from __future__ import annotations

from engine.methods.declaration import Declaration

DECLARATION = Declaration(
    name="mezo",
    summary="dense directions, added to the weights in place",
    source="arXiv 2305.17333",
    brings={
        "direction": "dense",
        "scope": "all",
        "eps": 0.001,
        "lr": 1e-06,
    },
    ranges={"lr": (1e-07, 1e-06)},
    fixed=("direction", "update"),
    departs="The official code perturbs there and back in the precision of the weights, which drifts in 16 "
    "bits; our vLLM runtime restores them exactly.",
)
