"""MeZO on the factors of an adapter (Malladi et al., arXiv 2305.17333, section 3).

W + (alpha / r) B A, with A ~ U(-1/sqrt(n), 1/sqrt(n)) and B = 0 at first
Za, Zb ~ N(0, I),  g = (L(A + eps Za, B + eps Zb) - L(A - eps Za, B - eps Zb)) / (2 eps)
A <- A - lr g Za,  B <- B - lr g Zb
"""

from __future__ import annotations

from engine.methods.declaration import Declaration

DECLARATION = Declaration(
    name="mezo-lora",
    summary="an adapter of which both factors move; the weights stay as they are",
    source="arXiv 2305.17333",
    brings={
        "direction": "adapter",
        "scope": "adapter",
        "moves": "both",
        "rank": 8,
        "alpha": 16.0,
        "eps": 0.01,
        "lr": 0.0001,
    },
    ranges={"lr": (1e-05, 0.0001)},
    fixed=("direction", "scope", "moves", "update"),
    departs="The official adapters are on q_proj and v_proj; ours are on every linear layer of the blocks.",
)
