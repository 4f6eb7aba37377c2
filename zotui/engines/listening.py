"""What an engine says, as one end of a pipe or socket hears it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from engine.protocol.codec import decode_event
from engine.protocol.events import AnyEvent, Done, Error, Hello
from engine.protocol.frames import frames
from engine.runs.directory import RunDir
from engine.runs.timing import time_spent

_PAUSE = 0.1  # seconds
_LITTLE = 4096  # bytes


class Listener:
    """The events of one engine. Lines that are no event are skipped and counted."""

    def __init__(self, run: RunDir, read: Callable[[int], bytes]) -> None:
        """`read` is as for `engine.protocol.frames.frames`."""
        self.ignored = 0
        self.last_word: Done | Error | None = None
        self._run = run
        self._frames = frames(_in_batches(read), decode_event)
        self.greeted = False  # whether it had opened what it trains

    def events(self, gone: Callable[[], object]) -> Iterator[AnyEvent]:
        """Every event until the engine says no more; may be left and taken up again.

        A listener that was held up may have missed the last word. The records have it: `gone` is called to wait
        until they are complete.
        """
        for event in self._frames:
            if event is None:
                self.ignored += 1
                continue
            if isinstance(event, Hello):
                self.greeted = True
            elif isinstance(event, (Done, Error)):
                self.last_word = event
            yield event
        if self.greeted and self.last_word is None:
            gone()
            self.last_word = _recorded_end(self._run)
            if self.last_word is not None:
                yield self.last_word


def _in_batches(read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Let some events gather before they are read: to wake for every one costs more than to take it."""
    last = b""

    def gathered(most: int) -> bytes:
        nonlocal last
        if 0 < len(last) < _LITTLE:  # else more is waiting, or nobody has said anything yet
            time.sleep(_PAUSE)
        last = read(most)
        return last

    return gathered


def _recorded_end(run: RunDir) -> Done | Error | None:
    """How an engine ended that had begun to train; None if it did not get to write it down."""
    summary, state = run.summary(), run.info.read().state
    if state == "failed":
        return Error(kind="failure", text=summary.error)
    if state not in ("finished", "stopped"):
        return None
    return Done(
        outcome=state,
        steps=summary.steps_done,
        seconds=time_spent(run)["total"],
        metrics=summary.metrics,
        run=str(run.path),
        reason=summary.early,
    )
