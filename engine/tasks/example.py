"""One example as it is trained on: token ids, options, the right one."""

from __future__ import annotations

import msgspec


class Example(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One example. A sequence to score is the prompt followed by one of the options.

    It goes from the data to the worker as it is: within a process by reference, else as msgspec encodes it.
    """

    prompt: tuple[int, ...]  # token ids that the options share
    options: tuple[tuple[int, ...], ...]  # token ids of each, in verbalizer order; one for objective lm
    label: int  # index of the right option

    @property
    def length(self) -> int:
        """Tokens of the longest sequence."""
        return len(self.prompt) + max(map(len, self.options))
