"""Which cases are rehearsed: not every combination, but every value, and the pairs that decide which code runs.

The card and the precision decide on attention (FlashAttention 2 or 3; Triton for float32), the architecture on layers
and KV groups, options of several tokens on the head and on tails, rank on shared products, queries on signs, the method
on what slots are written from, and on what a step and a fold do to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.rehearsal.broken import BROKEN
from tests.rehearsal.wheels import VERSIONS

OLDEST, MIDDLE, NEWEST = VERSIONS.values()


@dataclass(frozen=True)
class Case:
    """One process, or two where graphs are on: the other without."""

    version: str
    card: str  # compute capability
    model: str
    dtype: str
    option_tokens: int = 1
    rank: int = 2
    queries: int = 1
    method: str = "lozo"
    settings: tuple[tuple[str, Any], ...] = ()  # further keys of the method
    rate: float = 0.002
    graphs: bool = True
    fold: str = "auto"
    broken: str = ""  # on purpose, and how
    engine: bool = False  # the engine itself, end to end, in place of the runtime's verbs
    on_gpu: bool = False  # the fifteen minutes on a card, at the smallest sizes
    counting: bool = False  # what the simulated card counts of what is known

    @property
    def name(self) -> str:
        """Everything, as `--only` looks for it."""
        if self.counting:
            return f"{self.version}, {self.card}, the counting"
        if self.on_gpu:
            return f"{self.version}, {self.card}, fifteen minutes on a card"
        what = "engine" if self.engine else f"rank {self.rank}, queries {self.queries}, options {self.option_tokens}"
        if self.method != "lozo":
            what = f"{self.variant}, {what}"
        graphs = "graphs" if self.graphs else "eager"
        graphs += "" if self.fold == "auto" else f", {self.fold}"
        broken = f", broken: {self.broken}" if self.broken else ""
        return f"{self.version}, {self.card}, {self.model}, {self.dtype}, {what}, {graphs}{broken}"

    @property
    def variant(self) -> str:
        """The method, and what of it is not as its name has it."""
        return " ".join([self.method, *(f"{key}={value}" for key, value in self.settings)])


_F16, _BF16, _F32 = "float16", "bfloat16", "float32"

_ADAM = (("update", "adam"), ("sides", "one"))

_QUICK = (
    Case(NEWEST, "9.0", "", "", counting=True),
    Case(NEWEST, "9.0", "opt", _F16),
    Case(NEWEST, "8.9", "llama", _BF16, option_tokens=3, rank=8, queries=4),
    Case(NEWEST, "12.0", "qwen3", _F32, graphs=False),
    Case(NEWEST, "9.0", "opt-40", _F16),
    Case(NEWEST, "8.9", "demo", _F16, engine=True),
)

_ALL = (
    # The newest version on every card, with every architecture.
    Case(NEWEST, "8.0", "opt", _BF16, rank=8),
    Case(NEWEST, "8.6", "llama", _F16, queries=4),
    Case(NEWEST, "8.6", "gemma3", _BF16),  # vLLM refuses it in float16, as it does Gemma 2
    Case(NEWEST, "8.9", "qwen3", _F16, option_tokens=3),
    Case(NEWEST, "9.0", "gemma3", _BF16, option_tokens=3, rank=8),
    Case(NEWEST, "9.0", "gemma2", _BF16, queries=4),
    Case(NEWEST, "9.0", "opt", _F32, option_tokens=3),
    Case(NEWEST, "9.0", "opt", _F16, option_tokens=3, queries=4, graphs=False),
    Case(NEWEST, "12.0", "opt", _F16, rank=8, queries=4),
    Case(NEWEST, "12.0", "llama", _BF16, option_tokens=3, graphs=False),
    Case(NEWEST, "12.0", "gemma", _F16),
    Case(NEWEST, "9.0", "qwen3-moe", _BF16),
    Case(NEWEST, "8.0", "llama", _F32, rank=8),
    # Every kind of method: shards, one side, a subspace, a core, adapters, dense directions, a cone.
    Case(NEWEST, "9.0", "opt", _F16, method="grzo", rate=2e-4),
    Case(NEWEST, "8.9", "llama", _BF16, option_tokens=3, method="grzo", settings=(("shards", 3),), rate=2e-4),
    Case(NEWEST, "9.0", "opt", _F16, queries=4, method="fzoo", rate=2e-4),
    Case(NEWEST, "9.0", "opt", _F16, rank=8, queries=4, method="zo-muon", rate=0.01),
    Case(NEWEST, "9.0", "opt", _F16, rank=8, queries=4, method="subzero", settings=_ADAM, rate=0.005),
    Case(NEWEST, "9.0", "opt", _F16, rank=8, method="mobizo"),
    Case(NEWEST, "8.6", "opt", _BF16, rank=8, method="mezo-lora", settings=(("shards", 5),)),
    Case(NEWEST, "9.0", "opt", _F16, method="mezo", rate=5e-4, graphs=False),
    Case(NEWEST, "9.0", "opt", _F16, method="conmezo"),
    Case(NEWEST, "9.0", "opt", _F16, rank=4, method="lozo-m"),
    # The two others: every card once, every architecture, every precision.
    *(
        case
        for version in (OLDEST, MIDDLE)
        for case in (
            Case(version, "9.0", "", "", counting=True),
            Case(version, "8.0", "opt", _F16),
            Case(version, "8.6", "qwen3", _BF16, rank=8),
            Case(version, "8.9", "llama", _F16, option_tokens=3, queries=4),
            Case(version, "9.0", "opt", _BF16, option_tokens=3, graphs=False),
            Case(version, "9.0", "gemma3", _BF16, queries=4),
            Case(version, "9.0", "opt-40", _F16),
            Case(version, "12.0", "qwen3", _F32),
            Case(version, "9.0", "demo", _F16, engine=True),
        )
    ),
    Case(NEWEST, "12.0", "demo", _F16, engine=True, graphs=False),
    Case(NEWEST, "8.9", "llama", _F16, fold="host-residual"),
    Case(NEWEST, "8.6", "opt", _BF16, fold="stochastic"),
    Case(NEWEST, "9.0", "demo", _F16, on_gpu=True),
    *(
        # The budget of kernels is that of 40 blocks.
        Case(NEWEST, "9.0", "opt-40" if name == "kernels" else "opt", _F16, graphs=name == "replay", broken=name)
        for name in BROKEN
    ),
)


def cases(*, quick: bool = False) -> Sequence[Case]:
    """In the order in which they are run, and numbered from 1."""
    return _QUICK if quick else (*_QUICK, *_ALL)
