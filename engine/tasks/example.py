"""One example as it is trained on: token ids, options, the right one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """One example. A sequence to score is the prompt followed by one of the options."""

    prompt: tuple[int, ...]  # token ids that the options share
    options: tuple[tuple[int, ...], ...]  # token ids of each, in verbalizer order; one for objective lm
    label: int  # index of the right option

    @property
    def length(self) -> int:
        """Tokens of the longest sequence."""
        return len(self.prompt) + max(map(len, self.options))
