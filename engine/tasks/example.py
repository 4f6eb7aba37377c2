"""One example as it is trained on: token ids, options, the right one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Example(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One example. A sequence to score is the prompt followed by one of the options.

    It goes from the data to the worker as it is: within a process by reference, else as msgspec encodes it.
    """

    prompt: tuple[int, ...]  # token ids that the options share
    options: tuple[tuple[int, ...], ...]  # token ids of each, in the task's order; one where it is a text to learn
    label: int  # index of the right option; of several, that which is trained on
    right: tuple[int, ...] = ()  # all right ones, where there are several
    answers: tuple[str, ...] = ()  # the texts that a generated one is compared with
    counted: tuple[tuple[int, int], ...] = ()  # of a conversation: which tokens of the text count; none: all of them
    domain: Example | None = None  # the same options behind a prompt that says nothing of it, for calibration
    likely: bool = False  # its loss is how likely the right option is; else options are compared with each other alone

    @property
    def length(self) -> int:
        """Tokens of the longest sequence."""
        return len(self.prompt) + max(map(len, self.options))

    def scored(self, option: int) -> Sequence[int]:
        """Which tokens of an option count, by their places in it."""
        if self.counted:
            return [at for begin, end in self.counted for at in range(begin, end)]
        return range(len(self.options[option]))

    def is_right(self, option: int) -> bool:
        """Whether this option is a right one."""
        return option in self.right if self.right else option == self.label
