"""What was tried, in words: a prompt or an example, by a state of the weights and by the base model."""

from __future__ import annotations

from collections.abc import Iterator

from engine.preset.schema import Preset
from engine.protocol.events import Tried
from zotui.text import numbers

_WIDEST = 40  # cells of an option


def options_of(preset: Preset | None) -> list[str]:
    """The options of a task, to choose from; none where its preset leaves them to the built-in task."""
    verbalizer = preset.task.verbalizer if preset else None
    return list(verbalizer.values()) if verbalizer else []


def lines(tried: Tried) -> Iterator[str]:
    """An answer as lines: the prompt, then every option with its probabilities, or the texts."""
    now, base = tried.now, tried.base
    yield f"after {numbers.count(tried.step)} steps: {' '.join(tried.prompt.split())}"
    if now is None:
        return
    if not now.probabilities:
        yield f"  now     {now.text.strip() or '(nothing)'}"
        if base is not None:
            yield f"  base    {base.text.strip() or '(nothing)'}"
        if tried.options:
            yield f"  wanted  {tried.options[0]}"
        return
    shown = [" ".join(option.split()) for option in tried.options]
    shown = [option if len(option) <= _WIDEST else f"{option[: _WIDEST - 1]}…" for option in shown]
    width = max(map(len, shown), default=0)
    yield f"  {'':<{width}}     now    base"
    for index, option in enumerate(shown):
        shares = (one.probabilities[index : index + 1] if one else [] for one in (now, base))
        cells = "".join(f"{share[0]:>8.1%}" if share else f"{numbers.NOTHING:>8}" for share in shares)
        yield f"  {option:<{width}}{cells}{'  right' if index == tried.label else ''}"
