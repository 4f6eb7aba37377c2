"""The vLLM runtime: probes scored by stock vLLM, plus and minus in one packed forward pass.

Slots hold U_acc +- eps U over A = V^T, two for every query; what a pass scores, and by which path, is a thing of its
own (`engine.runtimes.vllm.scoring`). Dense directions are in the weights themselves, a sign at a time, each in passes
of its own. vLLM's public API scores the same signs more slowly: it checks the packed path at start-up, and takes over
where that path fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from engine.directions.fold import FoldMode
from engine.directions.kept import UpdateKept
from engine.directions.low_rank import Drawn
from engine.directions.official import OfficialRun
from engine.directions.space import Space
from engine.errors import UserError
from engine.estimators.probing import Probing
from engine.models.facts import ModelFacts, dtype_of
from engine.models.weights import Matrix, check_room_aside
from engine.runtimes.base import Needs, Probe, Upcoming
from engine.runtimes.vllm import self_check
from engine.runtimes.vllm.blame import writing_slots
from engine.runtimes.vllm.capacity import Capacity, block_size, plan_capacity, with_padding, with_prompt
from engine.runtimes.vllm.crossing import received, sent
from engine.runtimes.vllm.process_group import alone
from engine.runtimes.vllm.public_api import generate_scores, generate_tokens
from engine.runtimes.vllm.scoring import Scoring
from engine.runtimes.vllm.start import start
from engine.runtimes.vllm.support import CannotAdapt, check_matrices
from engine.runtimes.vllm.worker.experts import in_plain_order
from engine.runtimes.vllm.worker.linear import keeping_plain_weights
from engine.runtimes.vllm.worker.plain_classes import plain_classes
from engine.runtimes.vllm.worker.slots import Sign
from engine.tasks.example import Example
from engine.tasks.objective import Scores
from engine.updates.base import Rule


class VllmRuntime:
    """Runtime over stock vLLM; see `engine.runtimes.base.Runtime` for the verbs."""

    name = "vllm"

    def __init__(
        self,
        facts: ModelFacts,
        *,
        dtype: str,
        device: str,
        seed: int,
        needs: Needs,
        memory_needed: int,
        fold: FoldMode,
        space: Space = Space(),
        rule: Rule = Rule(),
        drawn: Drawn = "philox",
        plain_copies: bool = True,
        trust_remote_code: bool = False,
        random_weights: bool = False,
        cuda_graphs: bool = True,
    ) -> None:
        """`memory_needed`: bytes of the whole run. `plain_copies`: whether a CPU keeps the plain weights beside
        the packed ones, which makes folds quicker and changes nothing else.
        """
        self.device = device
        self._facts, self._dtype = facts, dtype
        self._space, self._in_place = space, space.coordinates == "dense"
        self._since = 0  # the step before which the weights were last folded; the steps done, where nothing is folded
        self._settled = False  # whether the first sign holds U_acc itself
        self._block = block_size(device)
        plan = plan_capacity(needs, self._block)
        room = with_prompt(with_padding(plan, self._block), facts.context, self._block)
        # Always, on a GPU: where a pass takes longer than its launches, a recording costs no more than the padding of
        # its layout, and saves the processor's time.
        record = cuda_graphs and device != "cpu"
        # What moves in place is written anew from them.
        kept = keeping_plain_weights() if plain_copies or self._in_place else nullcontext()
        with alone(), plain_classes(), in_plain_order(), kept:
            self._llm = start(
                facts,
                room,
                self._block,
                dtype=dtype,
                device=device,
                rank=space.rank,
                memory_needed=memory_needed,
                trust_remote_code=trust_remote_code,
                random_weights=random_weights,
            )
        names = [matrix.name for matrix in facts.matrices]
        try:
            opened = self._call(
                "zo_open", names, space, rule, needs.probing, seed, plan.signs, fold, drawn,
                plan.longest if record else None, facts.moving if self._in_place else [],
            )  # fmt: skip
            self._matrices = [Matrix(*row) for row in opened]
            check_matrices(facts.matrices, self._matrices)
            if self._in_place:
                self._matrices = facts.moving
        except CannotAdapt:
            self.close()  # another runtime may want its memory
            raise
        if self._block % (size := self._call("zo_block_size")):
            raise RuntimeError(f"vLLM made KV blocks of {size} tokens, {self._block} were asked for")
        # Where all layers look through a window, some versions make the smallest blocks there are: as much room.
        plan = replace(plan, blocks=1 + (plan.blocks - 1) * (self._block // size))
        self._block = size
        self._scoring, self.longest = self._scoring_for(needs, plan), room.longest

    # -- the verbs ------------------------------------------------------------------------------

    def matrices(self) -> list[Matrix]:
        return self._matrices

    def redraw(self, step: int) -> None:
        self._call("zo_redraw", step)
        if self._space.redrawn:
            self._since = step
        self._settled = False

    def probe(
        self, step: int, probing: Probing, eps: float, examples: Sequence[Example], upcoming: Upcoming | None = None
    ) -> list[Probe]:
        self._settled = False
        if self._in_place:
            return self._probe_in_place(step, probing, eps, examples)
        shards = probing.shards
        passes = self._scoring.passes(probing, eps, examples)
        base: Scores = []
        probes: list[Probe] = []
        for queries, signs in passes:
            self._call("zo_perturb", step, signs, shards)
            # Made ready only when it is what the very next pass needs.
            later = (upcoming, list(range(probing.directions))) if upcoming and len(passes) == 1 else None
            scores, tokens = self._scoring.score(examples, len(signs), later, shards)
            if probing.sides == "one":
                if queries.start == 0:
                    base, scores = scores[0], scores[1:]
                scores = [each for plus in scores for each in (plus, base)]
            for plus, minus in zip(scores[::2], scores[1::2], strict=True):
                probes.append(Probe(plus, minus, tokens // len(queries)))
        return probes

    def abandon_probe(self) -> bool:
        self._call("zo_clear_cache")
        return True  # it was in the slots, which the next one overwrites, or in what is written from what is kept

    def replay_probe(self, step: int, probing: Probing, eps: float) -> None:
        """Probes leave no trace: the slots are overwritten, the weights never touched."""

    def update(self, step: int, gradients: Sequence[float], lr: float) -> None:
        self._call("zo_update", step, list(gradients), lr)
        if not self._space.redrawn:
            self._since = step + 1
        self._settled = False

    def follow(self, run: OfficialRun) -> None:
        """From now on, directions are those of a run of the official LoZO trainer."""
        self._call("zo_follow", run)

    def parameter(self, name: str) -> torch.Tensor:
        """A copy in float32 of any parameter, on the CPU, under its Hugging Face name.

        It may have more rows than the files' (a padded vocabulary). Raises `UserError` if vLLM's model has none such.
        """
        return received(self._call("zo_parameter", name))

    def set_parameters(self, values: Mapping[str, torch.Tensor]) -> None:
        """Set parameters in place; of those with more rows, the first."""
        self._call("zo_set_parameters", {name: sent(value) for name, value in values.items()})

    def update_kept(self) -> UpdateKept | None:
        kept = self._call("zo_update_kept")
        return UpdateKept(*kept) if kept else None

    def score(self, examples: Sequence[Example]) -> Scores:
        self._settle()
        return self._scoring.score(examples, 1)[0][0]

    def generate(self, prompts: Sequence[Sequence[int]], most: int, stop: Sequence[int] = ()) -> list[list[int]]:
        if not self._adaptable:
            raise UserError("vLLM generates no text from float32 weights on a GPU; probabilities of options work")
        self._settle()
        with self._scoring.published(0) as adapter:
            return generate_tokens(self._llm, prompts, adapter, most, stop)

    @contextmanager
    def at_base(self) -> Iterator[None]:
        moved = self._since > 0 and self._space.moves_weights  # else they are the files' own still
        if moved and not self._in_place:
            check_room_aside(self._matrices, dtype_of(self._dtype))
        try:
            self._call("zo_rest")
            if moved:
                self._call("zo_set_aside", self._facts.path)
            self._settled = True
            yield
        finally:
            self._settled = False
            if moved:
                self._call("zo_bring_back")

    def save_weights(self, path: Path) -> None:
        self._call("zo_save", str(path))

    def load_weights(self, path: Path, step: int, began: int) -> None:
        self._call("zo_load", str(path), step)
        self._since = step
        self._settled = False

    def save_learned(self, path: Path) -> bool:
        return bool(self._call("zo_save_learned", str(path), self._facts.path))

    def load_learned(self, path: Path, step: int, began: int) -> None:
        self._call("zo_load_learned", str(path), step, self._facts.path, self._since > 0)
        self._since = step
        self._settled = False

    def weights_since(self) -> int:
        return self._since

    def kv_cache_usage(self) -> float | None:
        return self._scoring.usage

    def _settle(self) -> None:
        if not self._settled:
            self._call("zo_settle")
            self._settled = True

    @property
    def _adaptable(self) -> bool:
        """Whether vLLM's own LoRA kernels take the weights: those for GPUs take none of float32."""
        return self.device == "cpu" or self._dtype != "float32"

    def close(self) -> None:
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm  # and with it the model's weights

    # -- beside the verbs -----------------------------------------------------------------------

    def self_check(self, examples: Sequence[Example]) -> tuple[Literal["info", "warning"], str]:
        """Score a few examples by both paths; keep the packed one only if they agree. Returns a line for the log.

        A warning where `paths` has the packed one no more: the public API scores every prompt once for each option
        and sign. Raises `RunFailed` where the check could not be made by a fault of our own.
        """
        some = self_check.shortest(examples)
        self.redraw(0)
        slots = self._adaptable  # else the weights as they are must do

        def packed(eps: float) -> list[Scores]:
            if not slots:
                return [self.score(some)]
            signs[:] = [Sign(0, eps), Sign(0, -eps)]
            if self._in_place:
                return in_turn(lambda: self._scoring.score(some, 1)[0])
            with writing_slots():
                self._call("zo_perturb", 0, signs, 1)
            return self._scoring.score(some, 2)[0]

        def public() -> list[Scores]:
            if not slots:
                return [generate_scores(self._llm, some, None)]
            return in_turn(lambda: self._scoring.public(some, 1)) if self._in_place else self._scoring.public(some, 2)

        def in_turn(score: Callable[[], list[Scores]]) -> list[Scores]:
            found = []
            for sign in signs:
                self._call("zo_perturb", 0, [sign], 1)
                found += score()
            return found

        signs: list[Sign] = []  # of the last packed pass
        found = self_check.check(packed, public, some, self._dtype, slots=slots)
        self._scoring.paths = found.paths
        return found.level, found.text

    def _probe_in_place(self, step: int, probing: Probing, eps: float, examples: Sequence[Example]) -> list[Probe]:
        """One sign after the other."""

        def at(query: int, side: float) -> tuple[Scores, int]:
            self._call("zo_perturb", step, [Sign(query, side)], 1)
            (scores,), tokens = self._scoring.score(examples, 1)
            return scores, tokens

        base = at(-1, 0.0) if probing.sides == "one" else None
        probes = []
        for query in range(probing.queries):
            far = probing.distance(query, eps)
            plus, tokens = at(query, far)
            minus, more = base or at(query, -far)
            probes.append(Probe(plus, minus, tokens + (0 if base and query else more)))
        return probes

    @property
    def paths(self) -> tuple[Literal["packed", "public"], ...]:
        """By which it can score, the first in use."""
        return self._scoring.paths

    def use_public_api(self, yes: bool = True) -> None:
        """Score through vLLM's public API from now on, or by packed passes again."""
        self._scoring.paths = ("public",) if yes else ("packed", "public")

    def floor(self, examples: Sequence[Example], probing: Probing) -> int:
        """Score what `probe` scores, but without slots; returns the tokens scored. For the benchmark."""
        return self._scoring.floor(examples, probing)

    def recorded(self) -> int:
        """How many shapes of a pass are recorded as CUDA graphs."""
        return int(self._call("zo_recorded"))

    def forward_seconds(self) -> float:
        """Seconds spent in forward passes since the last call, by the device's own clock."""
        return float(self._call("zo_forward_seconds"))

    def _scoring_for(self, needs: Needs, plan: Capacity) -> Scoring:
        return Scoring(self._llm, lambda *of: self._call(*of), needs, plan, self._block)

    def _call(self, method: str, *args: Any) -> Any:
        return self._llm.collective_rpc(method, args=args)[0]
