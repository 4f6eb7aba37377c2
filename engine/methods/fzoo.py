"""FZOO: many one-sided probes, and a step divided by the spread of their losses (Dang et al., arXiv 2506.09034).

    Z_i of signs,  g_i = (L(W + eps Z_i) - L(W)) / eps,  W <- W - lr / N sum_i g_i / std(g) Z_i

Here over low-rank directions U V^T / sqrt(r) of signs, which fit slots; the authors' are dense.
"""

from __future__ import annotations

from engine.methods.declaration import Declaration

DECLARATION = Declaration(
    name="fzoo",
    summary="signs, one side, and steps divided by the spread of the losses",
    source="arXiv 2506.09034",
    brings={
        "direction": "low-rank",
        "law": "rademacher",
        "normalise": "rms",
        "rank": 2,
        "interval": 50,
        "sides": "one",
        "queries": 8,
        "weights": "spread",
        "eps": 0.001,
        "lr": 5e-05,
    },
    ranges={"eps": (0.0001, 0.001)},
    fixed=("law", "sides", "weights", "update"),
    departs="The official code divides by the spread with N, the paper and ours with N - 1; the paper reuses "
    "losses of earlier steps, which neither the code nor ours does. Our eps is ten times theirs, since weights of 16 "
    "bits ask for it.",
)
