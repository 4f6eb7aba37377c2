"""ZO-Muon: the estimate is orthogonalised in a subspace that stands still for an interval (arXiv 2602.17155).

    V orthonormal, kept for nu steps;  g_i = (L(W + eps U_i V^T) - L(W)) / eps
    G = mean_i g_i U_i,  W <- W - lr msign(G) V^T

msign is five iterations of Newton and Schulz. The authors keep the left factor and draw the right one; ours is the
transpose of that, as in LoZO, so that a slot's A stands still.
"""

from __future__ import annotations

from engine.methods.declaration import Declaration

DECLARATION = Declaration(
    name="zo-muon",
    summary="an orthogonalised step in an orthonormal subspace",
    source="arXiv 2602.17155",
    brings={
        "direction": "subspace",
        "rank": 64,
        "interval": 100,
        "sides": "one",
        "queries": 4,
        "update": "msign",
        "momentum": 0.0,
        "eps": 0.001,
        "lr": 0.01,
    },
    ranges={"interval": (100, 500), "queries": (4, 8)},
    fixed=("direction", "update"),
    departs="In the official code every query of an interval's first step probes in a subspace of its own, "
    "and all are lifted by the last one's; the paper and ours have one for all.",
)
