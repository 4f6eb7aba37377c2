"""GRZO: a direction for every example of the batch, at no more tokens (arXiv 2606.02857).

    g_i = (L_i(W + eps Z_i) - L_i(W - eps Z_i)) / (2 eps) on example i,  W <- W - lr / B sum_i g_i / std(g) Z_i

Here over low-rank directions U_i V^T / sqrt(r), which the authors call LO-GRZO.
"""

from __future__ import annotations

from engine.methods.declaration import Declaration

DECLARATION = Declaration(
    name="grzo",
    summary="a direction for every example of the batch",
    source="arXiv 2606.02857",
    brings={
        "direction": "low-rank",
        "normalise": "rms",
        "rank": 2,
        "interval": 50,
        "shards": "examples",
        "weights": "spread",
        "eps": 0.001,
        "lr": 0.0001,
    },
    fixed=("sides", "weights"),
    departs="The paper's steps are divided by 2 eps as well; here that is part of the learning rate.",
)
