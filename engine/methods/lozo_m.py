"""LoZO-M: LoZO with momentum in the coordinates of the interval's basis (Chen et al., arXiv 2410.07698, section 4.2).

    N <- beta N + (1 - beta) g U,  W <- W - lr N V^T
    when V is redrawn:  N <- N (V_old^T V_new) / n

V_old^T V_new / n is of the order of 1 / sqrt(n): a redraw all but forgets the momentum.
"""

from __future__ import annotations

from engine.methods.declaration import Declaration

DECLARATION = Declaration(
    name="lozo-m",
    summary="LoZO with momentum, carried over when the basis is redrawn",
    source="arXiv 2410.07698, section 4.2",
    brings={
        "direction": "low-rank",
        "rank": 4,
        "interval": 50,
        "eps": 0.001,
        "lr": 1e-06,
        "update": "momentum",
        "momentum": 0.9,
        "carry": "project",
    },
    ranges={"lr": (1e-07, 1e-06), "eps": (0.0001, 0.001), "rank": (1, 4), "interval": (50, 100)},
    fixed=("direction", "sides", "update"),
    departs="The official code takes the first step of all, and nothing else, without the factor 1 - beta, "
    "applies another direction than the probed one on every nu-th step and keeps that in the "
    "momentum; ours follows the paper.",
)
