"""Which steps of a journal led to a state: not all of them, once a run has returned to an earlier one.

Step s with `returned_to` = b was taken from the state after b steps, so the steps b to s - 1 led nowhere. What leads to
the state after N steps is found by walking back from step N - 1: down to the newest return before it, on from where
that went back to, and so on. With returns 30 -> 20 and 50 -> 40, the state after 60 steps is that of the steps 0 to
19, 30 to 39 and 50 to 59.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from engine.protocol.events import Step


class Lineage:
    """The steps that lead to the state after `steps` steps.

    Attributes: steps; returns, of each step of the journal that came after a return, in their order, the state that it
    went back to; segments, of steps that follow each other, in their order, none empty.
    """

    def __init__(self, returns: dict[int, int], steps: int) -> None:
        self.steps, self.returns = steps, returns
        at = sorted(returns)
        found: list[range] = []
        end = steps
        while end:
            before = bisect_left(at, end)
            begin = at[before - 1] if before else 0
            found.append(range(begin, end))
            end = returns.get(begin, 0)
        self.segments = found[::-1]

    def __iter__(self) -> Iterator[int]:
        return self.after(0)

    def after(self, first: int) -> Iterator[int]:
        """Those of the steps from `first` on."""
        for segment in self.segments:
            yield from range(max(first, segment.start), segment.stop)

    def usable(self, written: int, replay_from: int) -> bool:
        """Whether a checkpoint, written after `written` steps, is on the way: `after(replay_from)` does the rest.

        Its weights are those before step `replay_from`. There are two kinds. Where steps move the weights, it was
        written right there, after as many steps, from the state as the step finds it if it does not return. Where
        intervals are folded, some of their steps were taken since, and V was redrawn before: it is the state as the
        step left it, returned if it did. So of a step that returned only the second kind will do, and of a state that
        was left for a return, or ends the way, only the first: the fold in the second is one that was not made.
        """
        if any(replay_from in segment for segment in self.segments):
            return written > replay_from if replay_from in self.returns else True
        ends = replay_from == self.steps or any(replay_from == self.returns.get(one.start) for one in self.segments)
        return ends and written == replay_from

    def began(self, step: int, interval: int) -> int:
        """Where the interval of the step before `step`, one of this way, began: it was redrawn at the latest before."""
        last = max(0, step - 1)
        return max(last - last % interval, max((one for one in self.returns if one <= last), default=0))


def returns_of(steps: Iterable[Step]) -> dict[int, int]:
    """The returns of a journal, as `Lineage` takes them."""
    return {one.step: one.returned_to for one in steps if one.returned_to is not None}
