"""`python -m tests.engine.directions.compiled [CAPABILITY ...]`: every kernel, compiled for cards; none is needed.

80 is an A100, 86 an RTX 3090, 89 a 4090, 90 an H100, 120 a 5090.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from engine.directions import kernels

CARDS = (80, 86, 89, 90, 120)
TYPES = ("fp16", "bf16", "fp32")


def main() -> None:
    told = {}
    for capability in [int(card) for card in sys.argv[1:]] or CARDS:
        for name, source in sources():
            options = {"enable_fp_fusion": False}
            made = compile(source, target=GPUTarget("cuda", capability, 32), options=options)
            # Nothing is fused but what the kernel says: the numbers are those of the processor.
            fused = made.asm["ptx"].count("fma.rn.f32") == 0 or "_draw" not in name
            told[f"{name} for {capability}"] = "cubin" in made.asm and fused
    print(json.dumps(told))


def sources() -> Iterator[tuple[str, ASTSource]]:
    yield "_draw", source(
        kernels._draw, {"BLOCK": 128}, out="*fp32", places="*i64", keys="*i64", grid="*i32", table="*fp32", step="i32",
        query="i32",
    )  # fmt: skip
    yield "_draw_signs", source(
        kernels._draw_signs, {"BLOCK": 16}, out="*fp32", places="*i64", keys="*i64", grid="*i32", step="i32",
        query="i32",
    )  # fmt: skip
    for dtype in TYPES:
        for both in (False, True):
            yield f"_write {dtype} {both}", source(
                kernels._write, {"RANK": 2, "BOTH": both, "BLOCK": 1024}, out=f"*{dtype}", stride="i64", source="*fp32",
                u="*fp32", eps="fp32", places="*i64", grid="*i32",
            )  # fmt: skip
        yield f"_fold {dtype}", source(
            kernels._fold, {"RANK": 2, "EXACT": dtype != "fp32", "ROWS": 8, "BLOCK": 1024}, w=f"*{dtype}", r="*i16",
            u="*fp32", v="*fp32", rows="i32", cols="i32",
        )  # fmt: skip
        if dtype != "fp32":
            yield f"_fold_by_chance {dtype}", source(
                kernels._fold_by_chance, {"RANK": 2, "BLOCK": 1024}, w=f"*{dtype}", u="*fp32", v="*fp32", size="i32",
                cols="i32", k0="i64", k1="i64", step="i32",
            )  # fmt: skip
        exact = dtype != "fp32"
        yield f"_pick {dtype}", source(
            kernels._pick, {"EXACT": exact, "BLOCK": 4096}, out="*fp64", rows="*i64", cols="*i64", w=f"*{dtype}",
            r="*i16", count="i32", width="i32",
        )  # fmt: skip
        yield f"_compare {dtype}", source(
            kernels._compare, {"RANK": 2, "EXACT": exact, "BLOCK": 4096}, sums="*fp64", intended="*fp64", start="*fp64",
            rows="*i64", cols="*i64", u="*fp32", v="*fp32", w=f"*{dtype}", r="*i16", count="i32", width="i32",
        )  # fmt: skip


def source(kernel: object, constants: dict[str, int | bool], **types: str) -> ASTSource:
    return ASTSource(fn=kernel, signature={**types, **dict.fromkeys(constants, "constexpr")}, constexprs=constants)


if __name__ == "__main__":
    main()
