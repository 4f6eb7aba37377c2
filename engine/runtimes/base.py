"""What a method needs of a runtime: directions drawn, probes scored, updates kept.

What moves are the weights, or an adapter beside them. Along low-rank directions, weights are W + U_acc V^T, where V
stands still for an interval and U_acc is what was learned since it was drawn. A runtime may keep the two apart until
the next fold (vllm) or move W in place every step (training-loop); which of the two decides how low-precision weights
round, not what is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from engine.directions.kept import UpdateKept
from engine.estimators.probing import Probing
from engine.models.weights import Matrix
from engine.tasks.example import Example
from engine.tasks.objective import Scores

Report = Callable[[str, float | None, str], None]
"""Takes a phase's name, its progress (0..1, or None) and a detail."""

Note = Callable[[Literal["info", "warning"], str], None]
"""Takes a line for the log, as soon as it is known."""


@dataclass(frozen=True)
class Needs:
    """What a run will ask of its runtime, so that memory is sized to it."""

    batch: int  # examples per step
    longest: int  # longest sequence in tokens
    options: int  # most options of an example
    option_tokens: int  # longest option in tokens
    probing: Probing = Probing()  # of a step
    step_options: int = 0  # most options of an example in a step, where only evaluations have more; 0: as many
    intervals: int = 0  # of all steps


@dataclass(frozen=True)
class Upcoming:
    """What the next step will score, so that it can be made ready while this one is under way."""

    step: int
    examples: Sequence[Example]


@dataclass(frozen=True)
class Probe:
    """The scores at W + eps Z and at W - eps Z, and the tokens that were scored for both.

    With shards, each example's at the direction of its part of the batch. Where only one side is scored, `minus` is at
    W, the same scores for all probes of a step.
    """

    plus: Scores
    minus: Scores
    tokens: int


class Runtime(Protocol):
    """A place where probes are scored. Steps count from 0."""

    name: str
    device: str
    longest: int  # tokens of a sequence that it takes, with what is generated

    def matrices(self) -> list[Matrix]:
        """The weight matrices in scope, under their Hugging Face parameter names; of an adapter those that it is on."""

    def redraw(self, step: int) -> None:
        """Begin an interval at `step`: fold what was learned and draw V anew. An adapter is drawn once, for good."""

    def probe(
        self, step: int, probing: Probing, eps: float, examples: Sequence[Example], upcoming: Upcoming | None = None
    ) -> list[Probe]:
        """Score `examples` at W +- eps Z for every query. Leaves the weights as they were.

        A step's directions are numbered: shard s of query q has Z(step, q * shards + s).
        """

    def abandon_probe(self) -> bool:
        """What was scored last is not finite and must leave no trace: whether the weights are as before, exactly.

        Where they are not, they are afterwards as the model's files hold them, for the state to be rebuilt.
        """

    def replay_probe(self, step: int, probing: Probing, eps: float) -> None:
        """Do to the weights what `probe` does, without scoring: nothing, unless it rounds."""

    def update(self, step: int, gradients: Sequence[float], lr: float) -> None:
        """Move the weights by the update rule, with the mean over d of gradients[d] Z(step, d) as its estimate.

        Of plain descent, W <- W - lr / D sum_d gradients[d] Z(step, d).
        """

    def update_kept(self) -> UpdateKept | None:
        """How much of the update until the last redraw is in what the run keeps; None before there was one.

        None of an adapter, which keeps all of it.
        """

    def score(self, examples: Sequence[Example]) -> Scores:
        """Score `examples` at the weights as they are."""

    def generate(self, prompts: Sequence[Sequence[int]], most: int, stop: Sequence[int] = ()) -> list[list[int]]:
        """For every prompt at most `most` tokens that go on from it, each the likeliest, at the weights as they are.

        A text ends with EOS or one of `stop`. Raises `UserError` if it generates nothing from such weights.
        """

    def at_base(self) -> AbstractContextManager[None]:
        """Within it, the weights are those of the model's files; after it as they were, bit for bit.

        Raises `UserError` on entering, where they cannot be read or there is no memory to keep the others in.
        """

    def save_weights(self, path: Path) -> None:
        """Write the matrices in scope as they were at the last fold, as safetensors.

        Where nothing is folded, what moves as it is: an adapter's factors, or all that dense directions move.
        """

    def load_weights(self, path: Path, step: int, began: int) -> None:
        """Set the matrices in scope, and the state of the update rule, from such a file; forget what was learned since.

        `step` is what `weights_since` was when the file was written, `began` where the interval of the step before it
        began.
        """

    def save_learned(self, path: Path) -> bool:
        """Write what each interval learned until the last fold, from which the model's files are led to those weights.

        False, and nothing is written, where that is not small beside them, or does not lead there to the bit: where
        weights move at every step, or are not the sum of intervals.
        """

    def load_learned(self, path: Path, step: int, began: int) -> None:
        """As `load_weights`, from what `save_learned` wrote."""

    def weights_since(self) -> int:
        """The step from which the journal must be replayed onto the weights that either of them writes."""

    def kv_cache_usage(self) -> float | None:
        """Share (0..1) of the KV space that the last probe used; None without a KV cache."""

    def close(self) -> None:
        """Give back what was opened."""


EVALUATION_SEQUENCES = 64  # of a padded forward pass, so that a large split does not need its logits at once
