"""Bytes that change in a file that was whole: a line in the middle of the journal, the newest checkpoint."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from engine.protocol.events import Checkpoint, Phase, Step
from tests.faults.trial import Outcome, Trial
from tests.faults.workshop import SAVE, Workshop


def journal_line(shop: Workshop, outcome: Outcome) -> None:
    """One bit, in a line that others follow: refused, naming the line. Put back, the run goes on."""
    chance = shop.chance("journal line")
    trial = Trial(shop, outcome)
    engine = trial.start()
    engine.until(Step, step=30)
    trial.killed(engine)
    journal = trial.run.journal_file
    sound = journal.read_bytes()
    ends = [at for at, byte in enumerate(sound) if byte == ord("\n")]
    for _ in range(shop.tries(2, 40)):
        at = chance.randrange(ends[-2])
        line = 1 + sum(end < at for end in ends)
        spoilt = _flip(sound, at, chance)
        journal.write_bytes(spoilt)
        refused = trial.refused(f"line {line}")
        assert not refused.of(Phase), "refused only when the model was loaded"
        assert journal.read_bytes() == spoilt, "the refused journal was changed"
        outcome.tried += 1
    journal.write_bytes(sound)
    trial.finish()


def checkpoint(shop: Workshop, outcome: Outcome) -> None:
    """The newest one is spoiled in every way: passed over, for one before it or the journal alone."""
    chance = shop.chance("checkpoint")
    trial = Trial(shop, outcome, steps=shop.tries(120, 400))
    for _ in range(shop.tries(1, 5)):
        for spoil in _WAYS[: shop.tries(3, len(_WAYS))]:
            engine = trial.start()
            engine.until(Checkpoint)
            for _ in range(chance.randint(1, SAVE - 1)):
                engine.until(Step)
            trial.killed(engine)
            spoil(trial.run.checkpoint_folders()[-1], chance)
            outcome.tried += 1
    trial.finish()


def _flip(content: bytes, at: int, chance: random.Random) -> bytes:
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def _flipped_byte(folder: Path, chance: random.Random) -> None:
    (file,) = folder.glob("*.safetensors")
    content = file.read_bytes()
    file.write_bytes(_flip(content, chance.randrange(len(content)), chance))


def _missing_manifest(folder: Path, chance: random.Random) -> None:
    (folder / "manifest.json").unlink()


def _cut_weights(folder: Path, chance: random.Random) -> None:
    (file,) = folder.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[: chance.randrange(file.stat().st_size)])


def _missing_weights(folder: Path, chance: random.Random) -> None:
    (file,) = folder.glob("*.safetensors")
    file.unlink()


def _spoilt_manifest(folder: Path, chance: random.Random) -> None:
    """A bit of it, or a power cut's zeros."""
    file = folder / "manifest.json"
    content = file.read_bytes()
    file.write_bytes(chance.choice([_flip(content, chance.randrange(len(content)), chance), bytes(len(content))]))


def _empty(folder: Path, chance: random.Random) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


_WAYS: tuple[Callable[[Path, random.Random], None], ...] = (
    _flipped_byte,
    _missing_manifest,
    _cut_weights,
    _missing_weights,
    _spoilt_manifest,
    _empty,
)
