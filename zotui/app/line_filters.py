"""What is done to every line before the terminal gets it: no control characters, no colours, or ASCII only."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

from engine.text import is_plain, stripped
from zotui.home.config import Ui

_WITHOUT_BRAILLE = ("linux", "dumb", "vt", "cons", "ansi")
"""How the TERM of terminals begins that draw no braille."""


class PlainText(LineFilter):
    """Takes out of every line what a terminal would obey: names of files and folders may hold anything."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            one if one.control or is_plain(one.text) else Segment(stripped(one.text), one.style) for one in segments
        ]


class Colourless(LineFilter):
    """No colour at all, as NO_COLOR asks; bold, underlined and reversed text stays."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(text, style and _without_colour(style), control) for text, style, control in segments]


class Ascii(LineFilter):
    """Signs that only a font with them can draw, as ASCII of the same width. Letters stay as they are."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            one if one.control or one.text.isascii() else Segment(as_ascii(one.text), one.style) for one in segments
        ]


def wants_ascii(chosen: Ui, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether to draw with ASCII only: by ZOTUI_ASCII, the configuration, or what the terminal can do."""
    said = environment.get("ZOTUI_ASCII", "")
    if said:
        return said not in ("0", "false", "no")
    if chosen.ascii != "auto":
        return chosen.ascii
    if environment.get("TERM", "").startswith(_WITHOUT_BRAILLE):
        return True
    locale = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    return bool(locale) and "utf8" not in locale.lower().replace("-", "")


def as_ascii(text: str) -> str:
    """`text` with every sign as ASCII."""
    if text.isascii():
        return text
    # An arrow takes the space behind it as well: between two numbers `>` alone would be a comparison.
    return "".join(c if c.isascii() else _sign(c) for c in text.replace("→ ", "->"))


@lru_cache(1024)
def _without_colour(style: Style) -> Style:
    return style.without_color


_SIGNS = {
    "–": "-", "—": "-", "‑": "-", "−": "-", "·": "-", "…": ".", "×": "x", "±": "~", "≤": "<", "≥": ">", "≈": "~",
    "→": ">", "←": "<", "↑": "^", "↓": "v", "⏎": "<", "⌫": "<", "↵": "<", "●": "*", "○": "o", "◐": "o", "◌": "o",
    "•": "o", "▸": ">", "▶": ">", "▼": "v", "▾": "v", "▲": "^", "◀": "<", "◆": "*", "◇": "o", "✓": "v", "✗": "x",
    "■": "#", "▴": "^", "‖": "|",
    "“": '"', "”": '"', "‘": "'", "’": "'", "°": "o", "µ": "u", "²": "2", "³": "3", "▔": "-",
}  # fmt: skip
_LEVELS = "_..--==#"  # an eighth of a cell to a whole one
_CORNERS_AND_CROSSINGS = ("DOWN AND", "UP AND", "VERTICAL AND", "ARC", "RIGHT AND", "LEFT AND")


@lru_cache(4096)
def _sign(sign: str) -> str:
    """One character as ASCII."""
    if sign in _SIGNS:
        return _SIGNS[sign]
    code = ord(sign)
    if 0x2800 <= code <= 0x28FF:  # braille: by how many of its eight dots are set
        return " ..:::**#"[(code - 0x2800).bit_count()]
    if 0x2500 <= code <= 0x257F:
        return _line(unicodedata.name(sign))
    if 0x2580 <= code <= 0x259F:
        return _block(code)
    if unicodedata.category(sign)[0] in "LMN":
        return sign
    wide = unicodedata.east_asian_width(sign) in "WF"
    return "? " if wide else "?"


def _line(name: str) -> str:
    if any(part in name for part in _CORNERS_AND_CROSSINGS):
        return "+"
    if "VERTICAL" in name or name.endswith((" UP", " DOWN")):
        return "#" if "HEAVY" in name else "|"
    if "HORIZONTAL" in name or name.endswith((" LEFT", " RIGHT")):
        return "=" if "HEAVY" in name else "-"
    return "x"  # diagonals


def _block(code: int) -> str:
    if 0x2581 <= code <= 0x2588:  # from the lower eighth to the whole
        return _LEVELS[code - 0x2581]
    if 0x2589 <= code <= 0x258F:  # from the left
        return "#" if code < 0x258C else "|"
    return {0x2580: '"', 0x2590: "|", 0x2594: "-", 0x2595: "|", 0x2591: ".", 0x2592: ":"}.get(code, "#")
