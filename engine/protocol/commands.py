"""What whoever watches may tell the engine."""

from __future__ import annotations

from typing import Annotated

import msgspec

from engine.protocol.numbers import Positive, Whole


class Command(msgspec.Struct, tag_field="type", tag=str.lower, frozen=True, kw_only=True):
    """Base of everything the engine can be told; each acts within one step."""


class Pause(Command, frozen=True):
    """Hold after the step in flight, or before step 0 when still starting."""


class Resume(Command, frozen=True):
    """Go on after a pause."""


class Save(Command, frozen=True):
    """Write a checkpoint now."""


class Evaluate(Command, frozen=True):
    """Evaluate the validation split now."""


class Stop(Command, frozen=True):
    """Finish the step in flight, save a checkpoint and end."""


class Change(Command, frozen=True):
    """Use these from the next step on; null leaves one as it is. Answered by `Changed`, or a line of why not."""

    lr: Positive | None = None
    eps: Positive | None = None
    eval_every: Whole | None = None  # 0: only before and after


class Try(Command, frozen=True):
    """Answer a prompt with the weights as they are, and with those of the base model. Answered by `Tried`."""

    id: Whole  # given back with the answer
    prompt: str = ""
    options: list[str] = []  # their probabilities are asked for; without any, a text that goes on from the prompt
    example: Whole | None = None  # take this one of the validation split instead, counted from 0
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=512)] = 48  # of a text


AnyCommand = Pause | Resume | Save | Evaluate | Stop | Change | Try
