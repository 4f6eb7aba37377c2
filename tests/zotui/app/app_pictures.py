"""Pictures of the app as text: the rows of a screen, then which style covers which of its cells.

A file of it begins with the rows themselves, so that the line number is the row. Below them stands a table of the
styles, each under three letters that follow from the style alone, and then for every row its runs: `abc12` is twelve
cells in the style `abc`. Rows that follow one another and have the same runs are one line, `3-18`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, zip_longest
from string import ascii_lowercase
from zlib import crc32

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.app import App

Run = tuple[str, int]
"""A style in words, and how many cells it covers."""

_STYLES, _RUNS = "-- styles", "-- runs"
_VISIBLE_ON_A_SPACE = ("underline", "underline2", "strike", "reverse")
_ATTRIBUTES = ("bold", "dim", "italic", *_VISIBLE_ON_A_SPACE)
_MOST_TOLD = 12  # differences, of a screen that has others


@dataclass(frozen=True)
class TextPicture:
    """What a screen shows: of each row the text, without the spaces at its end, and the runs of its styles."""

    rows: tuple[str, ...]
    runs: tuple[tuple[Run, ...], ...]

    @classmethod
    def of(cls, app: App[int]) -> TextPicture:
        """What the terminal has been sent, with what shines through from under a dialog."""
        strips = drawn_strips(app)
        rows = ("".join(segment.text for segment in strip).rstrip(" ") for strip in strips)
        return cls(tuple(rows), tuple(tuple(_runs(strip)) for strip in strips))

    def to_text(self) -> str:
        """The picture as a file has it."""
        codes = _codes({style for runs in self.runs for style, _ in runs})
        lines = [*self.rows, _STYLES]
        lines += [f"{code} {style}" for style, code in sorted(codes.items())]
        lines.append(_RUNS)
        first = 1
        for runs, alike in groupby(self.runs):
            last = first + len(list(alike)) - 1
            numbers = f"{first}" if first == last else f"{first}-{last}"
            lines.append(" ".join([numbers, *(f"{codes[style]}{cells}" for style, cells in runs)]))
            first = last + 1
        return "\n".join(lines) + "\n"

    @classmethod
    def from_text(cls, text: str) -> TextPicture:
        """The other way round; a ValueError if that is no picture."""
        lines = text.split("\n")
        end = len(lines) - 1 - lines[::-1].index(_RUNS)
        middle = end - 1 - lines[end - 1 :: -1].index(_STYLES)
        styles = dict(line.split(" ", 1) for line in lines[middle + 1 : end])
        runs: list[tuple[Run, ...]] = []
        for line in lines[end + 1 : -1]:
            numbers, *pieces = line.split(" ")
            first, _, last = numbers.partition("-")
            decoded = tuple((styles[piece[:3]], int(piece[3:])) for piece in pieces)
            runs += [decoded] * (int(last or first) - int(first) + 1)
        return cls(tuple(lines[:middle]), tuple(runs))

    def differences(self, kept: TextPicture) -> list[str]:
        """In lines for people, what is not as it was kept; none if nothing is."""
        told: list[str] = []
        if len(self.rows) != len(kept.rows):
            told.append(f"{len(self.rows)} rows, kept were {len(kept.rows)}")
        for number, (now, before) in enumerate(zip_longest(self.rows, kept.rows, fillvalue=""), 1):
            if now != before:
                told += [f"row {number} - {before}", f"{' ' * len(f'row {number}')} + {now}"]
        for number, (runs, old) in enumerate(zip(self.runs, kept.runs, strict=False), 1):
            told += [f"row {number}, {change}" for change in _restyled(runs, old)]
        return told if len(told) <= _MOST_TOLD else [*told[:_MOST_TOLD], f"and {len(told) - _MOST_TOLD} lines more"]


def drawn_strips(app: App[int]) -> list[list[Segment]]:
    """The segments of every row of the screen on top, as they are drawn."""
    update = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens, simplify=True)
    return [[one for strip in strips for one in strip if not one.control] for strips in update.strips]


def in_words(style: Style | None, *, blank: bool = False) -> str:
    """A style as `bold #cdd3e6 on #171a24`; of blank cells only what can be seen of it."""
    if style is None:
        return "plain"
    words = [] if blank else [name for name in _ATTRIBUTES if getattr(style, name)]
    if style.color and not blank:
        words.append(_colour(style.color))
    return " ".join([*words, *(["on", _colour(style.bgcolor)] if style.bgcolor else [])]) or "plain"


def _colour(colour: Color) -> str:
    return colour.triplet.hex if colour.triplet else colour.name


def is_blank(segment: Segment) -> bool:
    """Whether nothing is seen of it but its background."""
    style = segment.style
    return segment.text.isspace() and not (style and any(getattr(style, name) for name in _VISIBLE_ON_A_SPACE))


def _runs(strip: list[Segment]) -> Iterator[Run]:
    """The runs of one row, as long as they can be: blank cells belong to what is beside them on the same background."""
    pieces: list[tuple[str, str, bool, int]] = []  # style, background, whether it is blank, cells
    for segment in strip:
        blank, cells = is_blank(segment), segment.cell_length
        style, ground = in_words(segment.style, blank=blank), in_words(segment.style, blank=True)
        reaches = blank or not any(name in style for name in _VISIBLE_ON_A_SPACE)
        if pieces and reaches and pieces[-1][1] == ground:
            before, _, was_blank, already = pieces[-1]
            if blank or was_blank or style == before:
                pieces[-1] = (before if blank else style, ground, blank and was_blank, already + cells)
                continue
        # Nothing joins an underlined or reversed cell, where a blank would be seen.
        pieces.append((style, ground if reaches else style, blank, cells))
    for style, alike in groupby(pieces, key=lambda piece: piece[0]):
        yield style, sum(cells for *_, cells in alike)


def _codes(styles: set[str]) -> dict[str, str]:
    """Three letters for every style: the same in every picture, as long as no two of one picture collide."""
    codes: dict[str, str] = {}
    for style in sorted(styles):
        number = crc32(style.encode())
        while (code := "".join(ascii_lowercase[number // 26**place % 26] for place in range(3))) in codes.values():
            number += 1
        codes[style] = code
    return codes


def _restyled(now: tuple[Run, ...], before: tuple[Run, ...]) -> Iterator[str]:
    """Which cells of a row have another style."""
    cells = zip(_spread(now), _spread(before), strict=False)
    place = 0
    for (new, old), alike in groupby(cells):
        width = len(list(alike))
        if new != old:
            where = f"cells {place + 1} to {place + width}" if width > 1 else f"cell {place + 1}"
            yield f"{where}: {new}; kept was {old}"
        place += width


def _spread(runs: tuple[Run, ...]) -> list[str]:
    return [style for style, cells in runs for _ in range(cells)]
