"""How well what is drawn stands out from what it is drawn on.

The floors are those of WCAG 2.2: 4.5 for text (1.4.3), 3 for a sign or a curve (1.4.11), and so for the number that
names a curve in the colour of it. Frames, scroll bars and the empty part of a bar tell nothing that is not said
elsewhere; WCAG sets no floor, and here they must be seen at all. What a dialog covers is not looked at.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from rich.cells import cell_len
from rich.style import Style
from textual.app import App
from textual.geometry import Region

from tests.zotui.app.app_pictures import drawn_strips, is_blank
from zotui.app.compare.chart import curve_colour

_FRAMES = ("BOX DRAWINGS", "LIGHT SHADE", "RIGHT ONE EIGHTH", "LEFT ONE EIGHTH", "UPPER ONE EIGHTH", "LOWER ONE EIGHTH")
FLOORS = {"text": 4.5, "sign": 3.0, "frame": 1.2}


class Pair(NamedTuple):
    """Two colours, as `#rrggbb`, and what is drawn with them."""

    kind: str
    foreground: str
    background: str


def faults(app: App[int]) -> list[str]:
    """In lines for people, what of the screen on top does not stand out enough in the theme of the moment."""
    first: dict[Pair, str] = {}
    for pair, text in pairs(app):
        first.setdefault(pair, text)
    found = ((contrast(pair.foreground, pair.background), pair, text) for pair, text in first.items())
    return [
        f"{app.theme}: {kind} {text!r}, {foreground} on {background}: {ratio:.2f}, not {FLOORS[kind]}"
        for ratio, (kind, foreground, background), text in sorted(found)
        if ratio < FLOORS[kind]
    ]


def pairs(app: App[int]) -> Iterator[tuple[Pair, str]]:
    """Every piece of text on the screen on top, with its colours."""
    covered = app.screen.is_modal
    curves = {curve_colour(app, number).lower() for number in range(8)}
    bar = app.theme_variables["scrollbar"].lower()
    own = [child.region for child in app.screen.children if child.display] if covered else [app.screen.region]
    for y, strip in enumerate(drawn_strips(app)):
        x = 0
        for segment in strip:
            for word in segment.text.split(" "):
                place, x = Region(x, y, cell_len(word), 1), x + cell_len(word) + 1
                if word and not is_blank(segment) and any(region.contains_region(place) for region in own):
                    colours = _colours(segment.style)
                    kind = _kind(word)
                    if kind == "text" and colours[0] in curves:
                        kind = "sign"
                    elif kind == "sign" and bar in colours:
                        kind = "frame"
                    yield Pair(kind, *colours), segment.text.strip()
            x -= 1  # a piece ends without a space


def contrast(one: str, other: str) -> float:
    """As WCAG defines it, from 1 to 21."""
    low, high = sorted(_luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    values = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values)
    return sum(share * value for share, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _kind(word: str) -> str:
    if any(sign.isalnum() for sign in word):
        return "text"
    return "frame" if all(unicodedata.name(sign, "").startswith(_FRAMES) for sign in word) else "sign"


def _colours(style: Style | None) -> tuple[str, str]:
    """The colour of what is drawn and of what it is drawn on; a ValueError where the terminal would choose."""
    if style is None or style.color is None or style.bgcolor is None:
        raise ValueError(f"{style}: the colours are the terminal's own")
    foreground, background = style.color.get_truecolor().hex, style.bgcolor.get_truecolor().hex
    return (background, foreground) if style.reverse else (foreground, background)
