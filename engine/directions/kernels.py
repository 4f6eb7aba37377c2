"""What a GPU does with directions: drawn, written as factors and folded by one Triton kernel each, for all matrices.

They do the arithmetic of the processor's code in the same order (`engine.directions.philox`, `fold`), so that the
numbers are the same bit for bit: products are summed up by fused multiply-adds and added to the weight at the end, as
BLAS libraries do, and nothing else is fused. Imported where there is a GPU; Triton's interpreter runs them elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl

DRAWN = 1024  # normals of a program
SIGNED = 4096  # signs of a program
_WRITTEN = 1024  # factors of a program
_FOLDED = 1024  # entries of a row, of a program
_ROWS = 8
_ROUND = tl.constexpr(12582912.0)  # 1.5 * 2^23: a float32 that it is added to is rounded to an integer, ties to even


def programs(counts: Sequence[int], each: int, device: torch.device) -> torch.Tensor:
    """(programs, 2) int32: the tensor and the block of `each` elements in it that a program is for."""
    pairs = [(number, block) for number, count in enumerate(counts) for block in range(-(-count // each))]
    return torch.tensor(pairs, dtype=torch.int32).to(device)


def draw(
    out: torch.Tensor,
    places: torch.Tensor,
    keys: torch.Tensor,
    grid: torch.Tensor,
    table: torch.Tensor,
    step: int,
    query: int,
) -> None:
    """Fill tensors that lie in `out`, float32, with their normals; see `engine.directions.philox`.

    places: (tensors, 2) int64, offset and count of each; keys: (tensors, 2) int64; grid: `programs(counts, DRAWN)`.
    """
    _draw[(len(grid),)](out, places, keys, grid, table, step, query, BLOCK=DRAWN // 8, enable_fp_fusion=False)


@triton.jit(do_not_specialize=["step", "query"])
def _draw(out, places, keys, grid, table, step, query, BLOCK: tl.constexpr):
    piece = tl.load(grid + 2 * tl.program_id(0))
    counter = tl.load(grid + 2 * tl.program_id(0) + 1).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    zero = (counter * 0).to(tl.uint64)
    k0 = zero + tl.load(keys + 2 * piece).to(tl.uint64, bitcast=True)
    k1 = zero + tl.load(keys + 2 * piece + 1).to(tl.uint64, bitcast=True)
    c0 = (counter + 1).to(tl.uint64)
    w0, w1, w2, w3 = tl.philox_impl(c0, zero + step, zero + query, zero, k0, k1, 10)
    start = out + tl.load(places + 2 * piece)
    count = tl.load(places + 2 * piece + 1)
    _store_pair(start, table, counter * 8, w0, count)
    _store_pair(start, table, counter * 8 + 2, w1, count)
    _store_pair(start, table, counter * 8 + 4, w2, count)
    _store_pair(start, table, counter * 8 + 6, w3, count)


@triton.jit
def _store_pair(start, table, at, word, count):
    """Two normals of 64 random bits: each the sum of two quantiles over the square root of 2."""
    a = tl.load(table + (word & 0xFFFF).to(tl.int32))
    b = tl.load(table + ((word >> 16) & 0xFFFF).to(tl.int32))
    c = tl.load(table + ((word >> 32) & 0xFFFF).to(tl.int32))
    d = tl.load(table + (word >> 48).to(tl.int32))
    tl.store(start + at, (a + b) * 0.7071067811865476, at < count)
    tl.store(start + at + 1, (c + d) * 0.7071067811865476, at + 1 < count)


def signs(
    out: torch.Tensor, places: torch.Tensor, keys: torch.Tensor, grid: torch.Tensor, step: int, query: int
) -> None:
    """Fill tensors that lie in `out`, float32, with their signs; see `engine.directions.rademacher`.

    places, keys: as `draw` has them; grid: `programs(counts, SIGNED)`.
    """
    _draw_signs[(len(grid),)](out, places, keys, grid, step, query, BLOCK=SIGNED // 256)


@triton.jit(do_not_specialize=["step", "query"])
def _draw_signs(out, places, keys, grid, step, query, BLOCK: tl.constexpr):
    """A counter gives 256: 64 of each of its words, which lie side by side."""
    piece = tl.load(grid + 2 * tl.program_id(0))
    counter = tl.load(grid + 2 * tl.program_id(0) + 1).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    zero = (counter * 0).to(tl.uint64)
    k0 = zero + tl.load(keys + 2 * piece).to(tl.uint64, bitcast=True)
    k1 = zero + tl.load(keys + 2 * piece + 1).to(tl.uint64, bitcast=True)
    words = tl.philox_impl((counter + 1).to(tl.uint64), zero + step, zero + query, zero, k0, k1, 10)
    start = out + tl.load(places + 2 * piece)
    count = tl.load(places + 2 * piece + 1)
    place = tl.arange(0, 64)[None, :]
    for word in tl.static_range(4):
        at = counter[:, None] * 256 + 64 * word + place
        bit = (words[word][:, None] >> place.to(tl.uint64)) & 1
        tl.store(start + at, tl.where(bit != 0, 1.0, -1.0), at < count)


def write(
    out: torch.Tensor,
    source: torch.Tensor,
    u: torch.Tensor | None,
    eps: float,
    places: torch.Tensor,
    grid: torch.Tensor,
    rank: int,
) -> None:
    """Write factors, (n, rank) of every tensor, transposed to where products read them, in the precision of `out`.

    Without `u` they are `source`, and `out` is flat; with it, out is (2, n): `source` + eps `u`, `source` - eps `u`.
    places: (tensors, 4) int64: offset and count in the source, offset in `out`, distance of two of its rows.
    """
    grid_size = (len(grid),)
    if u is None:
        _write[grid_size](out, 0, source, source, 0.0, places, grid, RANK=rank, BOTH=False, BLOCK=_WRITTEN)
    else:
        _write[grid_size](out, out.stride(0), source, u, eps, places, grid, RANK=rank, BOTH=True, BLOCK=_WRITTEN)


def write_programs(counts: Sequence[int], device: torch.device) -> torch.Tensor:
    """The grid of `write`."""
    return programs(counts, _WRITTEN, device)


@triton.jit(do_not_specialize=["eps"])
def _write(out, stride, source, u, eps, places, grid, RANK: tl.constexpr, BOTH: tl.constexpr, BLOCK: tl.constexpr):
    piece = tl.load(grid + 2 * tl.program_id(0))
    at = tl.load(grid + 2 * tl.program_id(0) + 1).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    offset = tl.load(places + 4 * piece)
    ok = at < tl.load(places + 4 * piece + 1)
    there = out + tl.load(places + 4 * piece + 2) + (at % RANK) * tl.load(places + 4 * piece + 3) + at // RANK
    value = tl.load(source + offset + at, ok, 0.0)
    if BOTH:
        # As torch.add(value, u, alpha=eps) does it on a processor: the product is not rounded by itself.
        direction = tl.load(u + offset + at, ok, 0.0)
        tl.store(there, tl.fma(direction, eps, value).to(out.dtype.element_ty), ok)
        tl.store(there + stride, tl.fma(direction, -eps, value).to(out.dtype.element_ty), ok)
    else:
        tl.store(there, value.to(out.dtype.element_ty), ok)


def fold(
    weight: torch.Tensor,
    residual: torch.Tensor | None,
    u: torch.Tensor,
    v: torch.Tensor,
    noise: tuple[int, int, int] | None,
) -> None:
    """weight <- weight + u v^T, in place; see `engine.directions.fold`, of which this is one kernel.

    weight: (rows, cols), contiguous; residual: likewise, int16; u: (rows, r); v: (cols, r). noise: the key, and the
    step, of rounding by chance.
    """
    rows, cols = weight.shape
    rank, held = u.shape[1], weight if residual is None else residual
    if noise is None:
        grid = (-(-rows // _ROWS), -(-cols // _FOLDED))
        _fold[grid](
            weight, held, u, v, rows, cols,
            RANK=rank, EXACT=residual is not None, ROWS=_ROWS, BLOCK=_FOLDED, enable_fp_fusion=False,
        )  # fmt: skip
        return
    k0, k1, step = noise
    k0, k1 = (k - 2**64 if k >= 2**63 else k for k in (k0, k1))  # Triton's type of a number must not depend on it
    _fold_by_chance[(-(-rows * cols // _FOLDED),)](
        weight, u, v, rows * cols, cols, k0, k1, step, RANK=rank, BLOCK=_FOLDED, enable_fp_fusion=False
    )


@triton.jit
def _fold(w, r, u, v, rows, cols, RANK: tl.constexpr, EXACT: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Some rows of a block of columns, whose V is read once. No entry is divided into row and column: that is slow."""
    col = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    for nth in range(ROWS):
        row = tl.program_id(0).to(tl.int64) * ROWS + nth
        if row < rows:
            ok = col < cols
            at = row * cols + col
            weight = tl.load(w + at, ok, 0.0)
            value = weight.to(tl.float32)
            product = _product(u, v, row, col, ok, RANK)
            if EXACT:
                rest = tl.load(r + at, ok, 0).to(tl.float32)
                total = rest * (1.0 / 65536.0) * _last_place(weight, value) + value + product
                new = total.to(weight.dtype)
                value = new.to(tl.float32)
                parts = tl.div_rn(total - value, _last_place(new, value)) * 65536.0
                # Beyond int16 anyway, and so cut off before it is rounded.
                parts = tl.minimum(tl.maximum(parts, -32769.0), 32769.0)
                parts = (parts + _ROUND) - _ROUND
                tl.store(w + at, new, ok)
                tl.store(r + at, tl.minimum(tl.maximum(parts, -32768.0), 32767.0).to(tl.int16), ok)
            else:
                tl.store(w + at, (value + product).to(weight.dtype), ok)


@triton.jit(do_not_specialize=["k0", "k1", "step"])
def _fold_by_chance(w, u, v, size, cols, k0, k1, step, RANK: tl.constexpr, BLOCK: tl.constexpr):
    """A counter gives the chances of eight entries that lie side by side, across the ends of rows."""
    counter = tl.program_id(0).to(tl.int64) * (BLOCK // 8) + tl.arange(0, BLOCK // 8)
    zero = (counter * 0).to(tl.uint64)
    words = tl.philox_impl(
        (counter + 1).to(tl.uint64), zero + step, zero, zero, zero + k0.to(tl.uint64), zero + k1.to(tl.uint64), 10
    )
    for word in tl.static_range(4):
        for half in tl.static_range(2):
            at = counter * 8 + 2 * word + half
            bits = ((words[word] >> (32 * half)) & 0xFFFFFFFF) >> 8
            chance = bits.to(tl.int32).to(tl.float32) * (1.0 / 16777216.0)
            ok = at < size
            weight = tl.load(w + at, ok, 0.0)
            there = tl.minimum(at, size - 1)
            total = weight.to(tl.float32) + _product(u, v, there // cols, there % cols, ok, RANK)
            tl.store(w + at, _by_chance(total, chance, weight), ok)


@triton.jit
def _product(u, v, row, col, ok, RANK: tl.constexpr):
    """Entries of u v^T, summed up in the order of the rank."""
    total = tl.load(u + row * RANK) * tl.load(v + col * RANK, ok, 0.0)
    for k in range(1, RANK):  # not unrolled: a rank of hundreds would take a minute to compile
        total = tl.fma(tl.load(u + row * RANK + k), tl.load(v + col * RANK + k, ok, 0.0), total)
    return total


@triton.jit
def _last_place(weight, value):
    """Distance of each entry to its next neighbour away from zero, float32."""
    bits = weight.to(tl.int16, bitcast=True) + 1
    return tl.abs(bits.to(tl.int16).to(weight.dtype, bitcast=True).to(tl.float32) - value)


@triton.jit
def _by_chance(total, chance, like):
    """`total` rounded to one of its two neighbours, the nearer the likelier."""
    nearest = total.to(like.dtype)
    back = nearest.to(tl.float32)
    away = tl.where(tl.abs(total) > tl.abs(back), 1, -1)
    bits = (nearest.to(tl.int16, bitcast=True) + away).to(tl.int16)
    other = bits.to(like.dtype, bitcast=True)
    gap = tl.abs(other.to(tl.float32) - back)
    return tl.where(chance * gap < tl.abs(total - back), other, nearest)


def pick(
    out: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor, weight: torch.Tensor, residual: torch.Tensor | None
) -> None:
    """out <- the state (see `engine.directions.fold.state`) of the sampled entries, float64."""
    held = weight if residual is None else residual
    _pick[(1,)](
        out, rows, cols, weight, held, len(rows), weight.shape[1], EXACT=residual is not None, BLOCK=_power(rows)
    )


@triton.jit
def _pick(out, rows, cols, w, r, count, width, EXACT: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    ok = at < count
    place = tl.load(rows + at, ok, 0) * width + tl.load(cols + at, ok, 0)
    tl.store(out + at, _state(w, r, place, ok, EXACT).to(tl.float64), ok)


@triton.jit
def _state(w, r, place, ok, EXACT: tl.constexpr):
    weight = tl.load(w + place, ok, 0.0)
    value = weight.to(tl.float32)
    if EXACT:
        value = tl.load(r + place, ok, 0).to(tl.float32) * (1.0 / 65536.0) * _last_place(weight, value) + value
    return value


def compare(
    sums: torch.Tensor,
    intended: torch.Tensor,
    start: torch.Tensor,
    rows: torch.Tensor,
    cols: torch.Tensor,
    u: torch.Tensor,
    v: torch.Tensor,
    weight: torch.Tensor,
    residual: torch.Tensor | None,
) -> None:
    """u v^T was folded in: add it to what was intended of the sampled entries, and see how much of it is there.

    sums, (3,) float64, <- <applied, intended>, |intended|^2, |applied|^2; see `engine.directions.kept`.
    """
    held = weight if residual is None else residual
    _compare[(1,)](
        sums, intended, start, rows, cols, u, v, weight, held, len(rows), weight.shape[1],
        RANK=u.shape[1], EXACT=residual is not None, BLOCK=_power(rows), enable_fp_fusion=False, num_warps=8,
    )  # fmt: skip


@triton.jit
def _compare(
    sums,
    intended,
    start,
    rows,
    cols,
    u,
    v,
    w,
    r,
    count,
    width,
    RANK: tl.constexpr,
    EXACT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    at = tl.arange(0, BLOCK)
    ok = at < count
    row, col = tl.load(rows + at, ok, 0), tl.load(cols + at, ok, 0)
    wanted = tl.load(intended + at, ok, 0.0)
    for k in range(RANK):
        wanted += tl.load(u + row * RANK + k, ok, 0.0).to(tl.float64) * tl.load(v + col * RANK + k, ok, 0.0).to(
            tl.float64
        )
    applied = _state(w, r, row * width + col, ok, EXACT).to(tl.float64) - tl.load(start + at, ok, 0.0)
    applied = tl.where(ok, applied, 0.0)
    tl.store(intended + at, wanted, ok)
    tl.store(sums, tl.sum(applied * wanted, 0))
    tl.store(sums + 1, tl.sum(wanted * wanted, 0))
    tl.store(sums + 2, tl.sum(applied * applied, 0))


def _power(rows: torch.Tensor) -> int:
    return triton.next_power_of_2(len(rows))
