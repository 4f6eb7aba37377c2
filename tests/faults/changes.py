"""The model or the data are not those the run began with: refused by name; put back, the run goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from engine.protocol.events import Step
from tests.faults import small
from tests.faults.trial import Outcome, Trial
from tests.faults.workshop import Workshop


def model_and_data(shop: Workshop, outcome: Outcome) -> None:
    """A byte of the weights, the model's shape, a label of the training data, one of the validation data."""
    folder = shop.folder / "changed"
    made = small.make(folder)
    trial = Trial(shop, outcome, made=made)
    engine = trial.start()
    engine.until(Step, step=20)
    trial.killed(engine)
    changes: list[tuple[Path, Callable[[bytes], bytes], str]] = [
        (made.model / "model.safetensors", _last_byte, "model.path"),
        (made.train, _a_label, "task.train"),
        (made.validation, _a_label, "task.validation"),
        (made.train, lambda content: content + content.splitlines(keepends=True)[0], "task.train"),
        (made.model / "tokenizer.json", lambda content: content.replace(b'"great"', b'"graet"'), "model.path"),
    ]
    for file, change, named in changes[: shop.tries(2, len(changes))]:
        aside = file.with_name(f"{file.name}.aside")
        shutil.copy2(file, aside)
        sound = file.read_bytes()
        file.write_bytes(change(sound))
        assert file.read_bytes() != sound, f"{file.name}: the fault did not change it"
        trial.refused(named)
        aside.replace(file)
        outcome.tried += 1
    trial.finish()


def _last_byte(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def _a_label(content: bytes) -> bytes:
    at = content.index(b'"label": ') + len(b'"label": ')
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
