"""What a state of a run makes of prompts, beside the base model, as long as somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from engine.errors import UserError
from engine.evaluate.asked import Asked
from engine.evaluate.session import encoder_of, opened
from engine.protocol.codec import decode_command
from engine.protocol.commands import Try
from engine.protocol.events import Event, Phase
from engine.protocol.findings import READY
from engine.runtimes.base import Note, Report
from engine.training.try_it import Trying


def answer_prompts(
    asked: Asked, lines: Iterator[bytes], say: Callable[[Event], None], report: Report, note: Note
) -> None:
    """Answer each line, a `Try`, by `Tried`, until there are no more. Raises `UserError` and `RunFailed`."""
    with opened(asked, report, note) as (prepared, runtime):
        trying = Trying(runtime, prepared.task, encoder_of(prepared), prepared.facts.vocabulary)
        say(Phase(name=READY, progress=1.0, detail=f"after {asked.step:,} steps"))
        for line in lines:
            say(trying.answer(_read(line), asked.step))


def _read(line: bytes) -> Try:
    try:
        command = decode_command(line)
    except msgspec.DecodeError as error:
        raise UserError(f"standard input: no command ({error})") from None
    if not isinstance(command, Try):
        raise UserError(
            f"standard input: {type(command).__name__.lower()} is for a live run; here only try is answered"
        )
    return command
