"""bfloat16 in Triton's interpreter, which keeps it as bits: conversions round as hardware does, instead of cutting off.

What is computed in bfloat16 itself there is garbage, for it computes with the bits: a kernel that is to be rehearsed
computes in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def mend_conversions(interpreter: Any) -> None:
    """`triton.runtime.interpreter`."""
    language, builder = interpreter.tl, interpreter.InterpreterBuilder
    convert = builder.cast_impl

    def cast(self: Any, source: Any, wanted: Any) -> Any:
        between = (source.dtype.scalar, wanted.scalar)
        if between == (language.bfloat16, language.float32):
            return interpreter.TensorHandle(_widened(source.data), wanted.scalar)
        if between == (language.float32, language.bfloat16):
            return interpreter.TensorHandle(_rounded(source.data), wanted.scalar)
        return convert(self, source, wanted)

    builder.cast_impl = cast


def _widened(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _rounded(values: np.ndarray) -> np.ndarray:
    """To the nearest, ties to even."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), (bits >> 16) | 0x40, nearest).astype(np.uint16)
