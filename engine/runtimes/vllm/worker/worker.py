"""The half of the vLLM runtime that runs inside vLLM's worker, where its insides are known.

vLLM mixes `ZoWorker` into its own worker class (`worker_extension_cls`), and the other half calls the
`zo_` methods through `collective_rpc`. What crosses goes by reference, within one process, and is such as
msgspec encodes: numbers, texts, bytes, lists, examples. Written against the V1 model runner of vLLM 0.26 to 0.33;
run on 0.26, 0.29 and 0.32 for the CPU, and in rehearsal on 0.26, 0.30 and 0.33.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from engine.directions.fold import FoldMode, residual_size
from engine.directions.intervals import Intervals, most_intervals
from engine.directions.low_rank import Drawn
from engine.directions.official import OfficialDraws, OfficialRun
from engine.directions.space import Space
from engine.estimators.probing import Probing
from engine.models.experts import of_expert
from engine.models.names import Names
from engine.models.weights import Matrix
from engine.runtimes.vllm.packing import Packed, one_token_options, pack, pack_for_launches
from engine.runtimes.vllm.padding import pad
from engine.runtimes.vllm.worker.clock import Clock
from engine.runtimes.vllm.worker.dense import DenseWeights
from engine.runtimes.vllm.worker.experts import find_mixtures
from engine.runtimes.vllm.worker.forward import Batch, Forward
from engine.runtimes.vllm.worker.graphs import Graphs, cuda_recorder
from engine.runtimes.vllm.worker.head import log_probabilities, option_logits
from engine.runtimes.vllm.worker.in_place import ParametersWorker
from engine.runtimes.vllm.worker.layers import Layers
from engine.runtimes.vllm.worker.public import PublicWorker
from engine.runtimes.vllm.worker.slots import Sign, Slots
from engine.runtimes.vllm.worker.weights import WeightsWorker
from engine.tasks.example import Example
from engine.updates.base import Rule

Later = tuple[int, list[int], list[Example], int, list[int]]
"""What the next call will ask for: step, directions, examples, signs, parts."""


class ZoWorker(WeightsWorker, ParametersWorker, PublicWorker):
    """Mixed into vLLM's worker. `self.model_runner`, `self.device` and `self.vllm_config` are vLLM's."""

    model_runner: Any
    device: Any
    vllm_config: Any

    def zo_open(
        self,
        names: list[str],
        space: Space,
        rule: Rule,
        probing: Probing,
        seed: int,
        signs: int,
        fold: FoldMode,
        drawn: Drawn,
        record_longest: int | None,
        dense: list[Matrix],
    ) -> list[tuple[str, int, int]]:
        """Make slots for `signs` probes a pass; returns (name, rows, cols) of every matrix that they could cover.

        `names` are those that transformers has for those; `dense` is what moves in place instead. `record_longest` is
        the longest sequence in tokens, where passes are to be recorded.
        """
        device = torch.device(self.device)
        self._zo_on_gpu = device.type == "cuda"
        manager, self._zo_slices = self._zo_make_slots(space.rank, Names(names))
        moving = any(map(of_expert, names))
        self._zo_mixtures = find_mixtures(self.model_runner.get_model(), moving=moving, on_gpu=self._zo_on_gpu)
        self._zo_slices += [piece for mixture in self._zo_mixtures if moving for piece in mixture.slices]
        common: dict[str, Any] = {"seed": seed, "device": device, "fold": fold, "drawn": drawn}
        self._zo_slots: Slots | DenseWeights
        if dense:
            self._zo_slots = DenseWeights(self.model_runner.get_model(), self._zo_slices, dense, **common)
        else:
            dtype = self.vllm_config.model_config.dtype
            self._zo_slots = Slots(
                self._zo_slices, space=space, rule=rule, probing=probing, signs=signs, dtype=dtype, **common
            )
        self._zo_intervals = Intervals(0 if dense else self._zo_most_intervals(fold))
        self._zo_layers = Layers(manager, self._zo_slots)
        for mixture in self._zo_mixtures:
            mixture.begin(self._zo_layers, self._zo_slots.of_layer if moving and not dense else None)
        self._zo_forward = Forward(self.model_runner, self.vllm_config, device, self._zo_layers, probing.shards)
        self._zo_clock = Clock(device)
        self._zo_uploaded: tuple[list[Example], list[int], Batch] | None = None
        self._zo_record_longest = record_longest if self._zo_forward.can_record else None
        self._zo_graphs = Graphs(cuda_recorder() if self._zo_record_longest else None)
        return [(p.matrix.name, p.matrix.rows, p.matrix.cols) for p in self._zo_slices]

    def _zo_most_intervals(self, fold: FoldMode) -> int:
        assert isinstance(self._zo_slots, Slots)
        size = self.vllm_config.model_config.dtype.itemsize + residual_size(fold)
        entries = sum(piece.matrix.rows * piece.matrix.cols for piece in self._zo_slices)
        return most_intervals(self._zo_slots.learned.learned.numel(), entries, size, on_gpu=self._zo_on_gpu)

    def zo_block_size(self) -> int:
        """Tokens of a KV block."""
        return int(self.model_runner.kv_cache_config.kv_cache_groups[0].kv_cache_spec.block_size)

    def zo_recorded(self) -> int:
        """How many shapes of a pass are recorded as CUDA graphs."""
        return self._zo_graphs.recorded

    # -- directions -----------------------------------------------------------------------------

    def zo_redraw(self, step: int) -> None:
        """Fold U_acc V^T into the weights, then draw the V of the interval that begins at `step`."""
        self.zo_fold(step)
        self._zo_slots.redraw(step)

    def zo_perturb(self, step: int, signs: list[Sign], shards: int) -> None:
        """Make the signs U_acc + eps U, each with as many shards; in the weights themselves, one alone."""
        self._zo_slots.perturb(step, signs, shards)

    def zo_settle(self) -> None:
        """Make the one sign U_acc itself: the weights as they are."""
        self._zo_slots.settle()

    def zo_update(self, step: int, gradients: list[float], lr: float) -> None:
        """Move by the update rule, with the mean of gradients[d] Z(step, d) as its estimate."""
        self._zo_slots.learn(step, gradients, lr)

    def zo_follow(self, run: OfficialRun) -> None:
        """From now on, directions are those of a run of the official LoZO trainer."""
        assert isinstance(self._zo_slots, Slots)
        directions = OfficialDraws(run).directions([piece.matrix for piece in self._zo_slices])
        self._zo_slots.learned.follow(directions)

    def zo_clear_cache(self) -> None:
        """Zero the KV cache. Attention gives what lies behind a sequence the weight 0, and 0 * NaN is NaN."""
        for cache in self.model_runner.kv_caches:
            cache.zero_()

    # -- scoring --------------------------------------------------------------------------------

    def zo_score(
        self, examples: list[Example], signs: int, later: Later | None = None, parts: Sequence[int] = ()
    ) -> tuple[list[list[list[float]]], int, int]:
        """Score examples at every sign in one packed forward pass.

        What `later` names is made ready while the device is at work. With `parts`, the shard of each example, each is
        scored at the weights of its own. Returns the scores per sign, the tokens scored and the KV blocks used.
        """
        batch = self._zo_upload(examples, signs, list(parts))
        arrive = self._zo_fetch(self._zo_values(batch, examples))
        if later is not None:
            step, directions, next_examples, next_signs, next_parts = later
            self._zo_slots.draw_ahead(step, directions)
            ready = self._zo_upload(next_examples, next_signs, next_parts)
            self._zo_uploaded = (next_examples, next_parts, ready)
        scores = []
        for sign_values in arrive():
            sign_scores = [[0.0] * len(example.options) for example in examples]
            wanted = sign_values[: len(batch.packed.picks)]  # fillers come last
            for pick, value in zip(batch.packed.picks, wanted, strict=True):
                sign_scores[pick.example][pick.option] += value
            scores.append(sign_scores)
        return scores, signs * (len(batch.packed.token_ids) - batch.packed.padding), signs * batch.packed.blocks

    def zo_floor(self, examples: list[Example], signs: int) -> int:
        """The same pass without slots, at the weights as they are; returns the tokens scored. For the benchmark."""
        batch = self._zo_forward.upload(self._zo_pack(examples, signs, []), signs)
        self._zo_values(batch, examples, adapted=False).tolist()
        return signs * (len(batch.packed.token_ids) - batch.packed.padding)

    def zo_forward_seconds(self) -> float:
        """Seconds that the device spent in forward passes since the last call."""
        return self._zo_clock.read()

    def _zo_fetch(self, values: torch.Tensor) -> Callable[[], list[list[float]]]:
        """Start to copy values from the device; what is returned waits for them: the only wait of a step.

        What is queued on the device in between does not delay them.
        """
        if not self._zo_on_gpu:
            return values.tolist
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        host.copy_(values, non_blocking=True)
        there = torch.cuda.Event()
        there.record()

        def arrive() -> list[list[float]]:
            there.synchronize()
            return host.tolist()

        return arrive

    def _zo_upload(self, examples: list[Example], signs: int, parts: list[int]) -> Batch:
        if self._zo_uploaded is not None:
            (held, held_parts, batch), self._zo_uploaded = self._zo_uploaded, None
            if held == examples and held_parts == parts and batch.signs == signs:
                return batch
        return self._zo_forward.upload(self._zo_pack(examples, signs, parts), signs)

    def _zo_pack(self, examples: list[Example], signs: int, parts: list[int]) -> Packed:
        block = self.zo_block_size()
        if self._zo_on_gpu and self._zo_forward.can_copy:
            packed = pack_for_launches(examples, block, parts)
        else:
            packed = pack(examples, block, copies=self._zo_forward.can_copy, parts=parts)
        # Evaluations, of one sign, have as many shapes as chunks, which come only now and then.
        if self._zo_record_longest is not None and self._zo_graphs.on and signs > 1:
            pad(packed, examples, self._zo_record_longest)
        return packed

    def _zo_values(self, batch: Batch, examples: list[Example], *, adapted: bool = True) -> torch.Tensor:
        """The score of every pick, (signs, picks)."""
        model = self.model_runner.get_model()
        one_token = one_token_options(examples)

        def work(batch: Batch) -> torch.Tensor:
            hidden = self._zo_forward.run(batch, adapted=adapted)
            return option_logits(model, hidden, batch) if one_token else log_probabilities(model, hidden, batch)

        with self._zo_clock.running():
            if not batch.packed.padding:
                return work(batch)
            return self._zo_graphs.run(batch, work, f"{one_token} {adapted}")
