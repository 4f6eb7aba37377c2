"""Bounds of the numbers in messages and records."""

from __future__ import annotations

from typing import Annotated

import msgspec

Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A count or an amount: what is too large for arithmetic with floats is refused at the door."""


Number = Annotated[float, msgspec.Meta(ge=-1e100, le=1e100)]
"""A measured number: what overflows when it is squared or subtracted is refused as well."""


Positive = Annotated[float, msgspec.Meta(gt=0, le=1e30)]
