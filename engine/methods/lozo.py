"""LoZO: low-rank directions, two losses, plain descent (Chen et al., arXiv 2410.07698, Algorithm 1).

    U ~ N(0,1)^{out x r} every step, V ~ N(0,1)^{in x r} every nu steps, Z = U V^T
    g = (L(W + eps Z) - L(W - eps Z)) / (2 eps),  W <- W - lr g Z

With q queries, W <- W - (lr / q) sum_i g_i Z_i, all over one V.
"""

from __future__ import annotations

from engine.methods.declaration import Declaration

DECLARATION = Declaration(
    name="lozo",
    summary="low-rank directions, two losses a step",
    source="arXiv 2410.07698",
    brings={
        "direction": "low-rank",
        "rank": 2,
        "interval": 50,
        "eps": 1e-3,
        "lr": 1e-6,
    },
    ranges={"lr": (1e-07, 1e-06), "eps": (0.0001, 0.001), "rank": (1, 4), "interval": (50, 100)},
    fixed=("direction", "sides", "update"),
    departs="Neither the official code nor ours divides Z by the rank, as the paper does; the official update "
    "draws U without V first, so that on every nu-th step it applies a direction that was not probed: ours does not.",
)
