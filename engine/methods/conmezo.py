"""ConMeZO: directions within a cone around where earlier steps went (LejsDeen/ConMeZO).

Z = sqrt(d) cos(theta) M / |M| + sin(theta) U,  W <- W - lr g Z V^T,  M <- beta M + (1 - beta) g Z

Here in the d coordinates of the interval's basis, over which U is drawn; the authors' are all parameters.
"""

from __future__ import annotations

from engine.methods.declaration import Declaration

DECLARATION = Declaration(
    name="conmezo",
    summary="directions within a cone around where earlier steps went",
    source="LejsDeen/ConMeZO",
    brings={
        "direction": "low-rank",
        "rank": 2,
        "interval": 100,
        "eps": 1e-3,
        "lr": 1e-6,
        "update": "cone",
        "momentum": 0.95,
        "angle": 1.35,
        "carry": "drop",
    },
    ranges={"lr": (1e-07, 1e-06)},
    fixed=("direction", "update"),
    departs="The official code begins with a momentum of noise, estimates its norm where ours is measured, and has the "
    "decay rise from 0.1 over the first 2,000 steps; ours begins with none, anew in each interval.",
)
