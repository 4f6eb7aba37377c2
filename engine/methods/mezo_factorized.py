"""MeZO by factors: low-rank directions of so high a rank that they are nearly dense (Li and Ding, arXiv 2605.28760).

Z = U V^T / sqrt(r), both drawn every step;  W <- W - lr g Z
"""

from __future__ import annotations

from engine.methods.declaration import Declaration

DECLARATION = Declaration(
    name="mezo-factorized",
    summary="low-rank directions of a high rank, with a new basis every step",
    source="arXiv 2605.28760",
    brings={
        "direction": "low-rank",
        "normalise": "rms",
        "rank": 128,
        "interval": 1,
        "eps": 0.001,
        "lr": 1e-06,
    },
    ranges={"lr": (1e-07, 1e-06), "rank": (2, 512)},
    fixed=("direction", "normalise", "update"),
)
