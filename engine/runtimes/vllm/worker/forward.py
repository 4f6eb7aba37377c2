"""One packed forward pass through vLLM's model, outside its scheduler.

The pass uses the scheduler's own KV blocks: they are sized to a batch and idle between calls of the
public API. Every sign has pages of its own, after block 0, which vLLM keeps empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from vllm.forward_context import set_forward_context
from vllm.v1.attention.backend import CommonAttentionMetadata

from engine.runtimes.vllm.packing import Packed
from engine.runtimes.vllm.support import REMEDY, CannotAdapt
from engine.runtimes.vllm.worker.layers import Layers, Pass

_RECORDABLE = {"FLASH_ATTN", "TRITON_ATTN"}


@dataclass(frozen=True)
class Batch:
    """A layout on the device, repeated for every sign."""

    packed: Packed
    signs: int
    sent: list[torch.Tensor]  # that all others on the device are views of: who copies these copies the batch
    ids: torch.Tensor
    positions: torch.Tensor
    slots: torch.Tensor
    tables: torch.Tensor
    starts: torch.Tensor
    starts_cpu: torch.Tensor
    seq_lens: torch.Tensor
    seq_lens_cpu: torch.Tensor
    copied: torch.Tensor  # tokens whose keys and values are written a second time ...
    copied_to: torch.Tensor  # ... and where
    rows: torch.Tensor  # of one sign, those that predict something
    picked: torch.Tensor  # of `rows`, one per pick
    targets: torch.Tensor  # one per pick
    parts: torch.Tensor  # one per token of one sign: which part of the batch it is of; none where there is one


class Forward:
    """Uploads layouts and runs them."""

    def __init__(self, runner: Any, config: Any, device: Any, layers: Layers, shards: int) -> None:
        self._runner, self._config, self._device, self._layers = runner, config, device, layers
        self._shards = shards
        self._groups = [group for groups in runner.attn_groups for group in groups]
        self._copies: tuple[torch.Tensor, torch.Tensor] | None = None
        self._built = False
        attentions = [self._attention(name) for group in self._groups for name in group.layer_names]
        if len(runner.kv_cache_config.kv_cache_groups) > 1 and any(
            getattr(attention, "kv_sharing_target_layer_name", None) for attention in attentions
        ):
            # Layers of another group would overwrite the pages before they are read a second time.
            raise CannotAdapt(f"model.path: layers share their KV cache across groups{REMEDY}")
        #: Whether the attention backends write keys and values in a step of their own, so that it can be repeated.
        self.can_copy = all(
            not getattr(group.backend, "forward_includes_kv_cache_update", True) and _has_update(self._attention(name))
            for group in self._groups
            for name in group.layer_names
        )
        #: Whether a pass may be recorded: the backends keep no plan of their own for every batch.
        self.can_record = all(group.backend.get_name() in _RECORDABLE for group in self._groups)
        if self.can_copy:
            for attention in attentions:
                self._copy_after_update(attention)

    def upload(self, packed: Packed, signs: int) -> Batch:
        """Put a layout on the device, in two transfers."""
        count, block = len(packed.token_ids), packed.block_size
        widest = -(-packed.longest // block)
        tables = torch.zeros(len(packed.block_tables), widest, dtype=torch.int64)
        for row, blocks in enumerate(packed.block_tables):
            tables[row, : len(blocks)] = torch.tensor(blocks)
        slots = torch.tensor(packed.slots)
        copied, copied_to = torch.tensor(packed.copies, dtype=torch.int64).view(-1, 2).unbind(1)
        first = 1 + packed.blocks * torch.arange(signs)[:, None]  # block of each sign
        query_lens = torch.tensor(packed.query_lens)
        starts = torch.cat([torch.zeros(1, dtype=torch.int64), query_lens.repeat(signs).cumsum(0)])
        seq_lens = torch.tensor(packed.seq_lens).repeat(signs)
        picks = [*packed.picks, *packed.filler_picks()]
        longs, (positions, all_slots, copied, copied_to, rows, picked, targets, parts) = self._send(
            torch.int64,
            torch.tensor(packed.positions).repeat(signs),
            (slots + first * block).flatten(),
            (copied + count * torch.arange(signs)[:, None]).flatten(),
            (copied_to + first * block).flatten(),
            torch.tensor(packed.rows),
            torch.tensor([pick.row for pick in picks]),
            torch.tensor([pick.target for pick in picks]),
            torch.tensor(packed.parts, dtype=torch.int64),
        )
        ints, (ids, all_tables, starts_there, seq_lens_there) = self._send(
            torch.int32,
            torch.tensor(packed.token_ids).repeat(signs),
            (tables + first[:, :, None]).flatten(0, 1),
            starts,
            seq_lens,
        )
        return Batch(
            packed=packed,
            signs=signs,
            sent=[longs, ints],
            ids=ids,
            positions=positions,
            slots=all_slots,
            tables=all_tables,
            starts=starts_there,
            starts_cpu=starts.int(),
            seq_lens=seq_lens_there,
            seq_lens_cpu=seq_lens.int(),
            copied=copied,
            copied_to=copied_to,
            rows=rows,
            picked=picked,
            targets=targets,
            parts=parts,
        )

    @torch.inference_mode()
    def run(self, batch: Batch, *, adapted: bool = True) -> torch.Tensor:
        """Hidden states of the rows that predict something: (signs, rows, hidden)."""
        packed, signs = batch.packed, batch.signs
        count = len(packed.token_ids)
        common = CommonAttentionMetadata(
            query_start_loc=batch.starts,
            query_start_loc_cpu=batch.starts_cpu,
            seq_lens=batch.seq_lens,
            seq_lens_cpu_upper_bound=batch.seq_lens_cpu,
            num_reqs=signs * len(packed.query_lens),
            num_actual_tokens=signs * count,
            max_query_len=packed.longest if packed.padding else max(packed.query_lens),
            max_seq_len=packed.longest,
            block_table_tensor=batch.tables,
            slot_mapping=batch.slots,
            causal=True,
            is_prefilling=torch.ones(len(batch.seq_lens_cpu), dtype=torch.bool),
            positions=batch.positions,
        )
        metadata: dict[str, Any] = {}
        slot_mappings: dict[str, torch.Tensor] = {}
        for group in self._groups:
            # What a fast build leaves out is a schedule for these very lengths, which a recording would keep. Builders
            # find out about the model at the first, which must not be one, and is thrown away: all passes are alike.
            builder = group.get_metadata_builder(0)
            if not self._built:
                builder.build(common_prefix_len=0, common_attn_metadata=common)
            built = builder.build(common_prefix_len=0, common_attn_metadata=common, fast_build=bool(packed.padding))
            for name in group.layer_names:
                metadata[name] = built
                slot_mappings[name] = batch.slots
        self._built = True
        self._copies = (batch.copied, batch.copied_to) if len(batch.copied) else None
        try:
            with (
                set_forward_context(metadata, self._config, num_tokens=signs * count, slot_mapping=slot_mappings),
                self._layers.during(Pass(signs, count, batch.rows, self._parts(batch), self._ends(batch), adapted)),
            ):
                hidden = self._runner.model(
                    input_ids=batch.ids, positions=batch.positions, intermediate_tensors=None, inputs_embeds=None
                )
        finally:
            self._copies = None
        return hidden.view(signs, count, -1)[:, batch.rows]

    def _parts(self, batch: Batch) -> torch.Tensor | None:
        """A 1 where a token is of a part of the batch, (tokens, parts), in the precision of the model."""
        if not len(batch.parts):
            return None
        every = torch.arange(self._shards, device=batch.parts.device)
        return (batch.parts[:, None] == every).to(self._config.model_config.dtype)

    def _ends(self, batch: Batch) -> tuple[list[int], list[int]] | None:
        """Where each part's tokens and rows end, where that is known without waiting for a device.

        Examples are laid out in order, and so are the tokens and the rows of their parts. A recorded pass would keep
        the ends of its first batch.
        """
        if not len(batch.parts) or self._device.type != "cpu":
            return None
        every = torch.arange(self._shards)
        of_rows = batch.parts[batch.rows]
        return tuple(torch.searchsorted(parts, every, right=True).tolist() for parts in (batch.parts, of_rows))  # type: ignore[return-value]

    def _send(self, dtype: torch.dtype, *parts: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The parts on the device, as views of one tensor that was sent at once; that one first."""
        whole = torch.cat([part.flatten().to(dtype) for part in parts])
        if self._device.type != "cpu":
            whole = whole.pin_memory().to(self._device, non_blocking=True)
        pieces = whole.split([part.numel() for part in parts])
        return whole, [piece.view(part.shape) for piece, part in zip(pieces, parts, strict=True)]

    def _attention(self, name: str) -> Any:
        return self._config.compilation_config.static_forward_context[name]

    def _copy_after_update(self, attention: Any) -> None:
        """Let a layer write the copies of a pass right after its own keys and values."""
        update = attention.impl.do_kv_cache_update

        def update_and_copy(
            layer: Any, key: torch.Tensor, value: torch.Tensor, kv_cache: Any, slot_mapping: torch.Tensor
        ) -> None:
            update(layer, key, value, kv_cache, slot_mapping)
            if self._copies is not None:
                tokens, slots = self._copies
                update(layer, key[tokens], value[tokens], kv_cache, slots)

        attention.impl.do_kv_cache_update = update_and_copy


def _has_update(attention: Any) -> bool:
    return hasattr(attention, "impl") and hasattr(attention.impl, "do_kv_cache_update")
