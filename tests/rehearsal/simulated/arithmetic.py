"""Triton's interpreter rounds as hardware does: bfloat16, which it keeps as bits, and products that are added to.

Conversions from and to bfloat16 cut off there, and some releases round a fused multiply-add twice. What is computed in
bfloat16 itself stays garbage, for the interpreter computes with the bits: a kernel that is to be rehearsed computes in
float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def mend(interpreter: Any) -> None:
    """`triton.runtime.interpreter`."""
    _mend_conversions(interpreter)

    def fused(self: Any, x: Any, y: Any, z: Any) -> Any:
        # The product of two float32 is exact in float64, and the sum nearly always.
        exact = x.data.astype(np.float64) * y.data.astype(np.float64) + z.data.astype(np.float64)
        return interpreter.TensorHandle(exact.astype(z.data.dtype), z.dtype.scalar)

    interpreter.InterpreterBuilder.create_fma = fused


def _mend_conversions(interpreter: Any) -> None:
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
