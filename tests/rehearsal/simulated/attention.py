"""FlashAttention over a paged KV cache, by its definition, with what the real kernels require of their inputs."""

from __future__ import annotations

import math
from typing import Any

import torch

_PAGE = 16  # tokens, of which a page is a multiple


def flash_attention(
    *,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    out: torch.Tensor,
    starts: torch.Tensor,
    lengths: torch.Tensor,
    tables: torch.Tensor,
    max_q: int,
    max_k: int,
    scale: float,
    causal: bool,
    window: tuple[int, int],
    softcap: float,
) -> None:
    """softmax(q k^T scale) v of every sequence, into `out`.

    q, out: (tokens, heads, size); k, v: (pages, page, KV heads, size); starts: (sequences + 1), where each one's
    tokens begin; lengths: (sequences), with what is in the cache; tables: (sequences, pages).
    """
    _check(q, k, v, starts, lengths, tables, max_q, max_k)
    page, group = k.shape[1], q.shape[1] // k.shape[2]
    for sequence, (first, last) in enumerate(zip(starts.tolist(), starts.tolist()[1:], strict=False)):
        if first == last:
            continue
        length = int(lengths[sequence])
        pages = tables[sequence, : -(-length // page)].long()
        keys, values = (cache[pages].flatten(0, 1)[:length].float().repeat_interleave(group, 1) for cache in (k, v))
        logits = torch.einsum("qhd,khd->hqk", q[first:last].float(), keys) * scale
        if softcap:
            logits = torch.tanh(logits / softcap) * softcap
        distance = torch.arange(length) - torch.arange(length - (last - first), length)[:, None]
        hidden = torch.zeros_like(distance, dtype=torch.bool)
        if causal or window[1] >= 0:
            hidden |= distance > (0 if causal else window[1])
        if window[0] >= 0:
            hidden |= distance < -window[0]
        logits = logits.masked_fill(hidden, -math.inf)
        out[first:last] = torch.einsum("hqk,khd->qhd", logits.softmax(-1), values).to(out.dtype)


def _check(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    starts: torch.Tensor,
    lengths: torch.Tensor,
    tables: torch.Tensor,
    max_q: int,
    max_k: int,
) -> None:
    assert q.dtype == k.dtype == v.dtype and q.dtype in (torch.float16, torch.bfloat16), (q.dtype, k.dtype, v.dtype)
    assert starts.dtype == lengths.dtype == tables.dtype == torch.int32
    assert starts.is_contiguous() and lengths.is_contiguous() and tables.stride(-1) == 1
    assert q.stride(-1) == k.stride(-1) == v.stride(-1) == 1
    assert q.shape[-1] % 8 == 0 and q.shape[1] % k.shape[2] == 0, (q.shape, k.shape)
    assert tables.shape[0] == len(lengths) == len(starts) - 1, (tables.shape, lengths.shape, starts.shape)
    page, longest = k.shape[1], int(lengths.max())
    assert page % _PAGE == 0, page
    assert max_q >= int(starts.diff().max()), (max_q, starts.diff().max())
    assert max_k >= longest, (max_k, longest)
    assert tables.shape[1] * page >= longest, (tables.shape, page, longest)
    assert int(starts[-1]) == q.shape[0], (int(starts[-1]), q.shape)
    assert int(tables.max()) < k.shape[0], "a page out of range"


def by_fa3(named: dict[str, Any]) -> list[torch.Tensor]:
    """`_vllm_fa3_C::fwd`."""
    q, out = named["q"], named["out"] if named.get("out") is not None else torch.empty_like(named["q"])
    flash_attention(
        q=q, k=named["k"], v=named["v"], out=out, starts=named["cu_seqlens_q"], lengths=named["seqused_k"],
        tables=named["page_table"], max_q=named["max_seqlen_q"], max_k=named["max_seqlen_k"],
        scale=named["softmax_scale"], causal=named["is_causal"],
        window=(named["window_size_left"], named["window_size_right"]), softcap=named["softcap"],
    )  # fmt: skip
    nothing = [torch.empty(0) for _ in range(3)]
    # An operator must not return its own input.
    return [torch.empty(0) if named.get("out") is not None else out, *nothing]


def by_fa2(named: dict[str, Any]) -> list[torch.Tensor]:
    """`_vllm_fa2_C::varlen_fwd`."""
    assert named["num_splits"] <= 1
    q, out = named["q"], named["out"] if named.get("out") is not None else torch.empty_like(named["q"])
    flash_attention(
        q=q, k=named["k"], v=named["v"], out=out, starts=named["cu_seqlens_q"], lengths=named["seqused_k"],
        tables=named["block_table"], max_q=named["max_seqlen_q"], max_k=named["max_seqlen_k"],
        scale=named["softmax_scale"], causal=named["is_causal"],
        window=(named["window_size_left"], named["window_size_right"]), softcap=named["softcap"],
    )  # fmt: skip
    return [torch.empty(0) if named.get("out") is not None else out, torch.empty(0)]


def schedule(named: dict[str, Any]) -> torch.Tensor:
    """`_vllm_fa3_C::get_scheduler_metadata`: a plan of the right size."""
    sequences = named["batch_size"]
    assert len(named["seqused_k"]) == sequences and len(named["cu_seqlens_q"]) == sequences + 1
    return torch.zeros(1 + 4 * (-(-sequences // 4) * 4), dtype=torch.int32)
