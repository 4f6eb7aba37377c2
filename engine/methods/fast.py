"""fast: pieces of the others that take noise out of a step (engine/BENCHMARKS.md has what that is worth, and where).

    g_ij = (L_i(W + eps Z_ij) - L_i(W)) / eps on pair i of the batch,  W <- W - lr / (p q) sum_ij g_ij Z_ij

with a direction Z_ij = U_ij V^T for each of p pairs of examples and q queries. Each piece takes noise out of a step, or
tokens:

- every pair has directions of its own, as in GRZO (arXiv 2606.02857): p directions at the tokens of one;
- batches are stratified, so that a pair has an example of each label, where there are two and as many of both, and the
  largest part of what single gradients differ in cancels within a direction;
- one side, as in FZOO (arXiv 2506.09034): the loss of the weights themselves is scored once for all queries.

A step is worth ten of LoZO's, so V is redrawn after ten instead of fifty: until then weights move in its span alone,
and a run that is over after thirty steps would see one. It wants a rate about ten times that of `lozo`; the ratchet
lets a run begin with a large one.
"""

from __future__ import annotations

from engine.methods.declaration import Declaration

DECLARATION = Declaration(
    name="fast",
    summary="many directions for pairs of the batch, little noise in a step",
    source="engine/BENCHMARKS.md",
    brings={
        "direction": "low-rank",
        "rank": 2,
        "interval": 10,
        "sampling": "stratified",
        "shards": 8,
        "queries": 4,
        "sides": "one",
        "eps": 0.001,
        "lr": 0.00001,
        "ratchet": True,
    },
    ranges={"lr": (1e-05, 0.0015), "eps": (0.001, 0.003), "rank": (2, 4), "interval": (4, 50)},
)
