"""Measurements of our own for engine/BENCHMARKS.md, which no user needs; not part of the suite."""
