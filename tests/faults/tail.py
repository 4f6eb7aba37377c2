"""What a power cut, a full disk or a bad block leaves at the end of the records."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

from engine.protocol.events import Eval, Step
from tests.faults.trial import Outcome, Trial
from tests.faults.workshop import Workshop


def torn(shop: Workshop, outcome: Outcome) -> None:
    """The engine is killed, the end of its journal is spoiled, and the run resumed, again and again."""
    chance = shop.chance("tail")
    trial = Trial(shop, outcome, steps=shop.tries(120, 400))
    for _ in range(shop.tries(1, 5)):
        for spoil in _WAYS[: shop.tries(4, len(_WAYS))]:
            engine = trial.start()
            for _ in range(chance.randint(8, 16)):
                engine.until(Step)
            trial.killed(engine)
            spoil(trial.run.journal_file, chance)
            trial.took_away()
            outcome.tried += 1
    trial.finish()


def _cut(journal: Path, chance: random.Random) -> None:
    """Cut off anywhere, also before the newest checkpoint."""
    content = journal.read_bytes()
    journal.write_bytes(content[: chance.randrange(len(content) // 2, len(content))])


def _cut_within_the_last_line(journal: Path, chance: random.Random) -> None:
    content = journal.read_bytes()
    last = len(content) - content.rindex(b"\n", 0, -1) - 1
    journal.write_bytes(content[: -chance.randrange(1, last)])


def _garbage(journal: Path, chance: random.Random) -> None:
    """Bytes of another file, line ends among them."""
    with journal.open("ab") as file:
        file.write(chance.randbytes(chance.randrange(1, 2000)))


def _zeros(journal: Path, chance: random.Random) -> None:
    """A file system that had made the file longer and not yet written what was to be there."""
    with journal.open("ab") as file:
        file.write(bytes(chance.randrange(1, 4096)))


def _zeros_in_place(journal: Path, chance: random.Random) -> None:
    """The same within the length that the file had."""
    content = journal.read_bytes()
    lost = chance.randrange(1, 600)
    journal.write_bytes(content[:-lost] + bytes(lost))


def _last_second(journal: Path, chance: random.Random) -> None:
    """All that was not yet synced."""
    lines = journal.read_bytes().splitlines(keepends=True)
    seconds = 0.0
    while lines and (seconds := seconds + json.loads(lines[-1])["seconds"]) < 1.0:
        lines.pop()
    journal.write_bytes(b"".join(lines))


_WAYS: tuple[Callable[[Path, random.Random], None], ...] = (
    _cut,
    _garbage,
    _zeros,
    _last_second,
    _zeros_in_place,
    _cut_within_the_last_line,
)


def small_files(shop: Workshop, outcome: Outcome) -> None:
    """A power cut while an evaluation was written: no later step is there, and run.json is torn as well."""
    trial = Trial(shop, outcome)
    chance = shop.chance("small files")
    journal, evaluations, about = trial.run.journal_file, trial.run.evaluations_file, trial.run.path / "run.json"
    for _ in range(shop.tries(1, 5)):
        engine = trial.start()
        engine.until(Step)
        taken_at = engine.until(Eval).step
        trial.killed(engine)
        journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:taken_at]))
        trial.took_away()
        records = evaluations.read_bytes().splitlines(keepends=True)
        whole = [line for line in records if json.loads(line)["step"] < taken_at]
        torn = records[len(whole)]
        evaluations.write_bytes(b"".join(whole) + torn[: chance.randrange(len(torn))])
        about.write_bytes(about.read_bytes()[: chance.randrange(20)])
        about.with_suffix(".tmp").write_bytes(b"{")
        outcome.tried += 1
    trial.finish()
