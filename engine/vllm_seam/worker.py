"""The half of the vLLM runtime that runs inside vLLM's worker, where its insides are known.

vLLM mixes `ZoWorker` into its own worker class (`worker_extension_cls`), and the other half calls the
`zo_` methods through `collective_rpc`. Only lists, seeds, floats and file names cross. Written against
the V1 model runner of vLLM 0.26 to 0.33; read on 0.26, run on 0.32.
"""

from __future__ import annotations

from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from vllm.forward_context import set_forward_context
from vllm.lora.request import LoRARequest
from vllm.v1.attention.backend import CommonAttentionMetadata

from engine.directions import Matrix
from engine.low_rank import LowRank
from engine.packing import Packed, one_token_options, pack
from engine.task import Example
from engine.vllm_seam.linear import read_weight, write_weight
from engine.vllm_seam.lora import SegmentedLora

PLUS, MINUS = 1, 2  # adapter ids of the two pinned slots
_HEAD_ROWS = 512  # rows of full logits at a time: vocabulary x rows x 4 bytes each

PackedExample = tuple[list[int], list[list[int]], int]
"""An example as it crosses: prompt, options, label."""


class _Slice:
    """One Hugging Face matrix inside a vLLM layer (qkv_proj holds three), with its slots."""

    state: LowRank

    def __init__(self, matrix: Matrix, layer: Any, index: int, offset: int) -> None:
        self.matrix = matrix
        self.layer = layer
        self.a = layer.lora_a_stacked[index]  # (slots, 1, max rank, in)
        self.b = layer.lora_b_stacked[index]  # (slots, 1, out, max rank)
        self.rows = slice(offset, offset + matrix.rows)  # of the layer's weight


class ZoWorker:
    """Mixed into vLLM's worker. `self.model_runner`, `self.device` and `self.vllm_config` are vLLM's."""

    model_runner: Any
    device: Any
    vllm_config: Any

    def zo_open(self, rank: int, seed: int) -> list[tuple[str, int, int]]:
        """Pin the two slots; returns (name, rows, cols) of every matrix that they cover."""
        lora = self.model_runner.lora_manager
        manager = lora._adapter_manager
        for adapter, name in ((PLUS, "plus"), (MINUS, "minus")):
            lora.add_dummy_lora(LoRARequest(name, adapter, "/none"), rank=rank)
            manager.activate_adapter(adapter)
            manager.pin_adapter(adapter)
        self._zo_plus = manager.lora_index_to_id.index(PLUS)
        self._zo_minus = manager.lora_index_to_id.index(MINUS)
        self._zo_rank = rank
        self._zo_slices = _find_slices(manager)
        self._zo_lora = SegmentedLora(manager, rank)
        for piece in self._zo_slices:
            # The slots hold noise from vLLM's dummy adapter, and padding above our rank.
            piece.a.zero_()
            piece.b.zero_()
            piece.state = LowRank(piece.matrix, rank, seed, torch.device(self.device))
        return [(p.matrix.name, p.matrix.rows, p.matrix.cols) for p in self._zo_slices]

    def zo_limits(self) -> tuple[int, int, int, int]:
        """(block size, blocks, tokens, sequences) that one forward pass may use."""
        config = self.vllm_config
        group = self.model_runner.kv_cache_config.kv_cache_groups[0]
        return (
            group.kv_cache_spec.block_size,
            self.model_runner.kv_cache_config.num_blocks - 1,  # block 0 is vLLM's null block
            config.scheduler_config.max_num_batched_tokens,
            config.scheduler_config.max_num_seqs,
        )

    # -- directions -----------------------------------------------------------------------------

    def zo_redraw(self, step: int) -> None:
        """Fold U_acc V^T into the weights, then draw the V of the interval that begins at `step`."""
        self._zo_fold()
        for piece in self._zo_slices:
            piece.state.redraw(step)
            for slot in (self._zo_plus, self._zo_minus):
                piece.a[slot, 0, : self._zo_rank].copy_(piece.state.v.T)

    def zo_perturb(self, step: int, query: int, eps: float) -> None:
        """Write U_acc +- eps U(step, query) into the two slots."""
        for piece in self._zo_slices:
            u, learned = piece.state.u(step, query), piece.state.learned
            piece.b[self._zo_plus, 0, :, : self._zo_rank].copy_(torch.add(learned, u, alpha=eps))
            piece.b[self._zo_minus, 0, :, : self._zo_rank].copy_(torch.add(learned, u, alpha=-eps))

    def zo_settle(self) -> None:
        """Write U_acc itself into both slots: the weights as they are."""
        for piece in self._zo_slices:
            for slot in (self._zo_plus, self._zo_minus):
                piece.b[slot, 0, :, : self._zo_rank].copy_(piece.state.learned)

    def zo_update(self, step: int, coefficients: list[float]) -> None:
        """U_acc <- U_acc - sum_q coefficients[q] U(step, q), in float32."""
        for piece in self._zo_slices:
            piece.state.learn(step, coefficients)

    # -- weights --------------------------------------------------------------------------------

    def _zo_fold(self) -> None:
        for layer, pieces in self._zo_layers():
            if not any(piece.state.learned.any() for piece in pieces):
                continue
            weight = read_weight(layer.base_layer)
            for piece in pieces:
                piece.state.fold_into(weight[piece.rows])
            write_weight(layer.base_layer, weight)

    def zo_save(self, path: str) -> None:
        """Write every matrix as it was at the last fold, under its Hugging Face name."""
        tensors = {}
        for layer, pieces in self._zo_layers():
            weight = read_weight(layer.base_layer)
            for piece in pieces:
                tensors[piece.matrix.name] = weight[piece.rows].cpu().contiguous().clone()
        save_file(tensors, path)

    def zo_load(self, path: str) -> None:
        """Set every matrix from such a file and forget what was learned since."""
        with safe_open(path, framework="pt") as file:
            for layer, pieces in self._zo_layers():
                weight = read_weight(layer.base_layer)
                for piece in pieces:
                    weight[piece.rows].copy_(file.get_tensor(piece.matrix.name))
                    piece.state.learned.zero_()
                write_weight(layer.base_layer, weight)

    def _zo_layers(self) -> list[tuple[Any, list[_Slice]]]:
        layers: dict[int, tuple[Any, list[_Slice]]] = {}
        for piece in self._zo_slices:
            layers.setdefault(id(piece.layer), (piece.layer, []))[1].append(piece)
        return list(layers.values())

    # -- scoring --------------------------------------------------------------------------------

    def zo_score(self, rows: list[PackedExample], both: bool) -> tuple[list[list[list[float]]], int, int]:
        """Score examples in one packed forward pass, at the plus slot or at both.

        Returns the scores per sign, the tokens scored and the KV blocks used.
        """
        examples = [Example(tuple(p), tuple(map(tuple, options)), label) for p, options, label in rows]
        block_size = self.zo_limits()[0]
        packed = pack(examples, block_size)
        signs = 2 if both else 1
        hidden = self._zo_forward(packed, signs, block_size)
        count = len(packed.token_ids)
        wanted = torch.tensor([row + sign * count for sign in range(signs) for row in packed.rows], device=self.device)
        targets = torch.tensor(packed.targets * signs, device=self.device)
        if one_token_options(examples):
            values = self._zo_option_logits(hidden, wanted, targets)
        else:
            values = self._zo_log_probabilities(hidden, wanted, targets)
        scores = []
        for part in torch.tensor_split(values.cpu(), signs):
            sign_scores = [[0.0] * len(example.options) for example in examples]
            for (example, option), value in zip(packed.owners, part.tolist(), strict=True):
                sign_scores[example][option] += value
            scores.append(sign_scores)
        return scores, signs * count, signs * packed.blocks

    @torch.inference_mode()
    def _zo_forward(self, packed: Packed, signs: int, block_size: int) -> torch.Tensor:
        """Hidden states (signs * tokens, hidden): all plus tokens, then all minus tokens."""
        runner, device = self.model_runner, self.device
        count, sequences = len(packed.token_ids), len(packed.query_lens)
        ids = torch.tensor(packed.token_ids * signs, device=device, dtype=torch.int32)
        positions = torch.tensor(packed.positions * signs, device=device, dtype=torch.int64)
        # Each sign has pages of its own, after block 0, which vLLM keeps empty.
        widest = max(map(len, packed.block_tables))
        table = torch.zeros(sequences, widest, dtype=torch.int32)
        for row, blocks in enumerate(packed.block_tables):
            table[row, : len(blocks)] = torch.tensor(blocks, dtype=torch.int32)
        slots = torch.tensor(packed.slots, dtype=torch.int64)
        firsts = [1 + sign * packed.blocks for sign in range(signs)]
        tables = torch.cat([table + first for first in firsts]).to(device)
        slot_mapping = torch.cat([slots + first * block_size for first in firsts]).to(device)
        query_lens = torch.tensor(packed.query_lens * signs, dtype=torch.int32)
        seq_lens = torch.tensor(packed.seq_lens * signs, dtype=torch.int32)
        starts = torch.zeros(len(query_lens) + 1, dtype=torch.int32)
        torch.cumsum(query_lens, 0, out=starts[1:])
        common = CommonAttentionMetadata(
            query_start_loc=starts.to(device),
            query_start_loc_cpu=starts,
            seq_lens=seq_lens.to(device),
            seq_lens_cpu_upper_bound=seq_lens,
            num_reqs=signs * sequences,
            num_actual_tokens=signs * count,
            max_query_len=max(packed.query_lens),
            max_seq_len=max(packed.seq_lens),
            block_table_tensor=tables,
            slot_mapping=slot_mapping,
            causal=True,
            is_prefilling=torch.ones(len(seq_lens), dtype=torch.bool),
            positions=positions,
        )
        metadata: dict[str, Any] = {}
        slot_mappings: dict[str, torch.Tensor] = {}
        for groups in runner.attn_groups:
            for group in groups:
                built = group.get_metadata_builder(0).build(common_prefix_len=0, common_attn_metadata=common)
                for layer in group.layer_names:
                    metadata[layer] = built
                    slot_mappings[layer] = slot_mapping
        slot_of_sign = (self._zo_plus, self._zo_minus)[:signs]
        segments = [(sign * count, (sign + 1) * count, slot) for sign, slot in enumerate(slot_of_sign)]
        with (
            set_forward_context(metadata, self.vllm_config, num_tokens=signs * count, slot_mapping=slot_mappings),
            self._zo_lora.on(segments),
        ):
            output = runner.model(input_ids=ids, positions=positions, intermediate_tensors=None, inputs_embeds=None)
        return output

    @torch.inference_mode()
    def _zo_option_logits(self, hidden: torch.Tensor, rows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Logits of the targets alone, (rows,) in float32: the normaliser cancels between options."""
        model = self.model_runner.get_model()
        head, processor = model.lm_head, model.logits_processor
        states = hidden[rows].float()
        logits = (states * head.weight[targets].float()).sum(-1)
        if getattr(head, "bias", None) is not None:
            logits = logits + head.bias[targets].float()
        if processor.soft_cap is not None:
            logits = torch.tanh(logits / processor.soft_cap) * processor.soft_cap
        return logits * processor.scale

    @torch.inference_mode()
    def _zo_log_probabilities(self, hidden: torch.Tensor, rows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of the targets over the whole vocabulary, (rows,) in float32."""
        model = self.model_runner.get_model()
        parts = []
        for some, wanted in zip(rows.split(_HEAD_ROWS), targets.split(_HEAD_ROWS), strict=True):
            logits = model.compute_logits(hidden[some]).float()
            parts.append(logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(-1))
        return torch.cat(parts)


def _find_slices(manager: Any) -> list[_Slice]:
    """Every wrapped linear layer, cut into the Hugging Face matrices that it packs."""
    found = []
    for name, layer in manager.modules.items():
        if not hasattr(layer, "n_slices") or "lm_head" in name:
            continue
        parent, _, last = name.rpartition(".")
        names = manager.packed_modules_mapping.get(last, [last])
        if len(names) != layer.n_slices:
            raise NotImplementedError(f"{name}: packs {layer.n_slices} matrices, expected {names}")
        offset = 0
        for index, own in enumerate(names):
            rows, cols = layer.lora_b_stacked[index].shape[2], layer.lora_a_stacked[index].shape[3]
            found.append(_Slice(Matrix(f"{parent}.{own}.weight", rows, cols), layer, index, offset))
            offset += rows
    return found
