"""One run that meets faults: what they took away, what had to be done again, and how the run ended."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.protocol.events import Error, Step
from engine.runs.directory import RunDir
from tests.faults import small
from tests.faults.evidence import differences, whole_lines
from tests.faults.workshop import Workshop
from tests.live_engine import Engine

STEPS = 120


@dataclass
class Outcome:
    """What a row of the table says."""

    tried: int = 0
    lost: int = 0  # steps that were in the journal after a fault, and are not there as they were
    again: int = 0  # steps that the fault itself took out of the journal, and that were taken again
    runs: int = 0  # that went on to their end and were compared
    unlike: list[str] = field(default_factory=list)  # how their ends differ from the undisturbed run's
    notes: list[str] = field(default_factory=list)
    failed: str = ""  # what zotui should have done and did not
    skipped: str = ""  # why it could not be tried

    @property
    def fine(self) -> bool:
        """Whether the fault was survived, or could not be tried."""
        identical = self.tried > 0 and self.runs > 0 and self.lost == 0 and not self.unlike
        return not self.failed and (bool(self.skipped) or identical)


class Trial:
    """A run from its start to its end, however often it has to be resumed."""

    def __init__(
        self,
        shop: Workshop,
        outcome: Outcome,
        *,
        runtime: str = "training-loop",
        steps: int = STEPS,
        made: small.Small | None = None,
        run: RunDir | None = None,
    ) -> None:
        self.shop, self.outcome = shop, outcome
        self.preset = shop.preset(runtime=runtime, steps=steps, made=made)
        self.run = run or shop.new_run(self.preset)
        self._begun = False
        self._kept: list[bytes] = []  # lines of the journal that must stay as they are

    def start(self, environment: Mapping[str, str] | None = None) -> Engine:
        """An engine at work on the run, which it resumes if it was begun."""
        engine = self.shop.start(self.run, resume=self._begun, environment=environment)
        self._begun = True
        return engine

    def killed(self, engine: Engine) -> None:
        """SIGKILL, and a look at what is left."""
        engine.process.send_signal(signal.SIGKILL)
        engine.finish()
        self.ended(engine)

    def ended(self, engine: Engine) -> None:
        """Look at the journal: every step that was there before, or that the engine told of, must be in it."""
        self.look()
        told = [event.step for event in engine.of(Step)]
        self.outcome.lost += sum(step >= len(self._kept) for step in told)

    def look(self) -> None:
        """Look at the journal, while an engine is at work or when it has ended."""
        found = whole_lines(self.run)
        self.outcome.lost += sum(
            number >= len(found) or found[number] != line for number, line in enumerate(self._kept)
        )
        self._kept = found

    def took_away(self) -> None:
        """The fault itself took lines out of the journal: what it left must stay."""
        found = whole_lines(self.run)
        self.outcome.again += len(self._kept) - len(found)
        assert self._kept[: len(found)] == found, "the fault was to take lines away, not to change them"
        self._kept = found

    def finish(self, engine: Engine | None = None) -> None:
        """Go on to the end, with `engine` if it is at work, and compare that with the undisturbed run."""
        engine = engine or self.start()
        code = engine.finish()
        said = [event.text for event in engine.of(Error)] or self.run.log_tail(3)
        assert code == 0, f"the last engine ended with {code}: {said}"
        self.ended(engine)
        self.compare()

    def refused(self, *words: str) -> Engine:
        """Resuming ends with a usage error in which these words are. Gives the engine that has ended."""
        engine = self.start()
        code = engine.finish()
        texts = [event.text for event in engine.of(Error) if event.kind == "usage"]
        assert code == 2 and texts, f"not refused: ended with {code}, after {len(engine.of(Step))} steps"
        for word in words:
            assert re.search(rf"\b{re.escape(word)}\b", texts[-1]), f"refused without a word of {word}: {texts[-1]}"
        return engine

    def compare(self) -> None:
        """The run is at its end: is it that of the undisturbed run?"""
        self.look()
        self.outcome.runs += 1
        self.outcome.unlike += differences(self.run, self.shop.reference(self.preset))

    @property
    def steps_done(self) -> int:
        """Steps in the journal at the last look."""
        return len(self._kept)
