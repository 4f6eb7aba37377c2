"""Colours: what means something can be told apart, whatever cone is missing, and read."""

from __future__ import annotations

from itertools import combinations

import pytest
from textual.color import Color
from textual.theme import Theme

from zotui.app.themes import COUNTERPART, THEMES
from zotui.home import config

# Full dichromacy in linear RGB, after Machado, Oliveira and Fernandes (2009).
SEEN = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
LEAST = 20.0
"""CIE76: about nine times what can just be noticed side by side."""

Vector = tuple[float, ...]


def times(matrix: tuple[Vector, ...], vector: Vector) -> Vector:
    return tuple(sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)


def linear(colour: str) -> Vector:
    parts = Color.parse(colour).rgb
    return tuple(v / 255 / 12.92 if v <= 10.31475 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in parts)


def lab(rgb: Vector) -> Vector:
    clipped = tuple(min(1.0, max(0.0, value)) for value in rgb)
    x, y, z = (value / white for value, white in zip(times(TO_XYZ, clipped), (0.95047, 1, 1.08883), strict=True))
    fx, fy, fz = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def apart(one: str, other: str, seen: str) -> float:
    a, b = (lab(times(SEEN[seen], linear(colour))) for colour in (one, other))
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5


def contrast(one: str, other: str) -> float:
    """As WCAG defines it."""
    low, high = sorted(times(TO_XYZ, linear(colour))[1] for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def meanings(theme: Theme) -> dict[str, str]:
    return {name: str(getattr(theme, name)) for name in ("success", "warning", "error", "primary")}


@pytest.mark.parametrize("theme", THEMES[2:], ids=lambda theme: theme.name)
@pytest.mark.parametrize("seen", SEEN)
def test_what_means_something_stays_apart(theme: Theme, seen: str) -> None:
    for (one, a), (other, b) in combinations(meanings(theme).items(), 2):
        assert apart(a, b, seen) >= LEAST, f"{one} and {other} with {seen}"


def test_the_measure_knows_what_is_too_close() -> None:
    """The other themes are why there are these: their success and error are one to some."""
    assert apart(str(THEMES[0].success), str(THEMES[0].error), "deuteranopia") < 10
    assert apart("#000000", "#ffffff", "all cones") == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_everything_can_be_read(theme: Theme) -> None:
    for name, colour in {**meanings(theme), "text": str(theme.foreground), "quiet": theme.variables["quiet"]}.items():
        assert contrast(colour, str(theme.surface)) >= 4.5, name


def test_the_themes_are_those_of_the_configuration() -> None:
    assert tuple(theme.name for theme in THEMES) == config.THEMES
    dark = {theme.name: theme.dark for theme in THEMES}
    assert all(dark[one] != dark[other] and COUNTERPART[other] == one for one, other in COUNTERPART.items())
