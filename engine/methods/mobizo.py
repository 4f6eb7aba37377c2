"""MobiZO (P-RGE): an adapter of which B alone moves, and a direction for every part of the batch (Gao et al., 2024).

    W + (alpha / r) B A, with A ~ U(-1/sqrt(n), 1/sqrt(n)) for good and B = 0 at first
    g_i = (L_i(B + eps Z_i) - L_i(B - eps Z_i)) / (2 eps) on part i of the batch,  B <- B - lr mean_i g_i Z_i

The authors hold the number of directions times the batch constant, which is a direction for each part of one batch.
"""

from __future__ import annotations

from engine.methods.declaration import Declaration

DECLARATION = Declaration(
    name="mobizo",
    summary="an adapter of which B moves, with a direction for each part of the batch",
    source="MobiZO / P-RGE (leigao97/MobiZO)",
    brings={
        "direction": "adapter",
        "scope": "adapter",
        "moves": "b",
        "rank": 16,
        "alpha": 32.0,
        "eps": 0.01,
        "lr": 0.0001,
        "shards": 4,
    },
    ranges={"lr": (5e-05, 0.0001), "shards": (1, 16)},
    fixed=("direction", "scope", "moves", "update"),
    departs="The official code draws the next seed from the generator that this step left behind, so that "
    "seeds repeat; ours are functions of the step.",
)
