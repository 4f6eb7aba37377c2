"""How far along its direction each query probes, in parts of eps: evenly distributed between -1 and 1 (KerZOO)."""

from __future__ import annotations

from engine.directions.philox import Bits, key


def radii(seed: int, step: int, queries: int) -> tuple[float, ...]:
    """A function of seed, step and query."""
    of = key(seed, "radius", "")
    return tuple(int(Bits(of, step, query).take(1)[0] >> 11) * 2.0**-52 - 1 for query in range(queries))
