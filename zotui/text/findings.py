"""What a preflight finds, in words."""

from __future__ import annotations

from collections.abc import Callable

from engine.protocol.events import Log
from engine.protocol.findings import Data, Estimate, Finding, Model, Room, Setting
from zotui.text import numbers


def rows(found: Finding) -> list[tuple[str, str]]:
    """A finding as rows of a name and a line; none for what is not worth one."""
    shape: dict[type, Callable[..., list[tuple[str, str]]]] = {
        Model: _model,
        Setting: _setting,
        Data: _data,
        Room: _room,
        Estimate: _estimate,
    }
    if isinstance(found, Log):
        return [("warning", found.text)] if found.level == "warning" else []
    known = shape.get(type(found))
    return known(found) if known else []


def _model(found: Model) -> list[tuple[str, str]]:
    scope = numbers.short_count(found.scope)
    moving = f", of which {scope} in {found.matrices} matrices move"
    if found.adapter:
        moving = f", and beside them {scope} on {found.matrices} matrices, which move"
    line = (
        f"{found.path} ({found.architecture}): {numbers.short_count(found.parameters)} parameters{moving}; "
        f"context {numbers.count(found.context)} tokens"
    )
    download = [("", f"{numbers.size(found.download)} to be downloaded first")] if found.download else []
    still = [("", found.still)] if found.still else []
    return [("model", line), *still, *download]


def _setting(found: Setting) -> list[tuple[str, str]]:
    why = found.why.removeprefix("runtime: ")
    return [
        ("runtime", f"{found.runtime} ({why}) on {found.device}, {found.dtype}"),
        ("updates", found.updates.partition(": ")[2]),
    ]


def _data(found: Data) -> list[tuple[str, str]]:
    counted = (
        f"{numbers.count(found.train)} examples to train on, {numbers.count(found.validation)} to validate on; "
        f"the longest has {numbers.count(found.longest)} tokens"
    )
    lines = [("data", counted), *(("", note) for note in found.notes)]
    lines.append(("prompt", f"{found.prompt.text!r} ({tokens(found.prompt.tokens)})"))
    for number, option in enumerate(found.options):
        right = ", the right one" if number == found.label and len(found.options) > 1 else ""
        lines.append(("option", f"{option.text!r} ({tokens(option.tokens)}{right})"))
    return lines


def tokens(number: int) -> str:
    """A number of tokens."""
    return "1 token" if number == 1 else f"{numbers.count(number)} tokens"


def _room(found: Room) -> list[tuple[str, str]]:
    parts = ", ".join(f"{name} {numbers.size(size)}" for name, size in found.parts.items())
    verdict = "fits" if found.needed <= found.available else "does not fit"
    first = f"{numbers.size(found.needed)} of {numbers.size(found.available)} free on {found.where}: {verdict}"
    return [(found.of, first), ("", parts)]


def _estimate(found: Estimate) -> list[tuple[str, str]]:
    return [
        ("estimate", f"about {numbers.rough(found.total)} in all"),
        (
            "",
            f"start-up {numbers.span(found.start_up)}, a step {numbers.brief(found.step)} "
            f"({numbers.count(found.tokens_per_s)} tok/s), "
            f"{found.evaluations} evaluations of {numbers.span(found.evaluation)}",
        ),
    ]
