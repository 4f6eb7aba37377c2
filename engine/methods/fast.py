"""fast: provisional."""

from __future__ import annotations

from engine.methods.declaration import Declaration

DECLARATION = Declaration(
    name="fast",
    summary="what reaches an accuracy first",
    source="engine/BENCHMARKS.md",
    brings={"direction": "low-rank", "rank": 2, "interval": 50, "shards": 16, "eps": 0.001, "lr": 0.0001},
)
