"""Figures at the axes of a chart: round ones, no more of them than there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor, isfinite, log10

from textual_plot import NumericAxisFormatter

from zotui.text import numbers


class Ticks(NumericAxisFormatter):
    """Round ticks of a linear axis."""

    def __init__(self, most: int = 4, *, whole: bool = False) -> None:
        self.most = most
        self._whole = whole

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        """Multiples of 1, 2 or 5 times a power of ten inside the range."""
        span = max_ - min_
        if span <= 1e-9 * max(abs(min_), abs(max_)):  # nothing left to tell apart, however far it was zoomed
            return [min_]
        power = 10.0 ** floor(log10(span / max(1, self.most)))
        spacing = next(power * m for m in (1, 2, 5, 10, 20) if floor(span / (power * m) + 1e-9) <= self.most)
        if self._whole:
            spacing = max(1.0, spacing)
        first = ceil(min_ / spacing - 1e-9)
        last = floor(max_ / spacing + 1e-9)
        return [n * spacing for n in range(first, last + 1)]

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        """Steps as short counts, values with the decimals that tell them apart."""
        if self._whole:
            return [numbers.short_count(tick) for tick in ticks]
        gap = ticks[1] - ticks[0] if len(ticks) > 1 else max(map(abs, ticks), default=0.0) / 10 or 0.1
        return [label(tick, gap) for tick in ticks]


class LogTicks(Ticks):
    """Round ticks of an axis of decimal logarithms, labelled with the numbers themselves."""

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        """Powers of ten, with 2 and 5 times them where there is room; over less than that, as on a linear axis."""
        if not (isfinite(min_) and isfinite(max_) and -300 < min_ < max_ < 300):
            return []
        for factors in ((1, 2, 5), (1, 3), (1,)):
            marks = [m * 10.0**power for power in range(floor(min_), ceil(max_) + 1) for m in factors]
            inside = [log10(number) for number in marks if min_ <= log10(number) <= max_]
            if len(inside) <= self.most + 1:
                break
        else:
            inside = inside[:: -(-len(inside) // max(1, self.most))]
        if len(inside) >= 2:
            return inside
        return [log10(number) for number in super().get_ticks(10.0**min_, 10.0**max_) if number > 0]

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        """The numbers whose logarithms they are."""
        values = [10.0**tick for tick in ticks]
        gaps = [b - a for a, b in pairwise(values)] + values[:1]
        return [label(number, min(gaps)) for number in values]


def label(number: float, gap: float) -> str:
    """A number with the decimals that tell it from one that is `gap` away: `0.35`, `12k`, `1.2e-6`."""
    decimals = max(0, -floor(log10(gap) + 1e-9)) if gap > 0 else 0
    if abs(number) < gap / 1000:
        return "0"
    if decimals <= 4 and abs(number) < 1e4:
        return f"{number:.{decimals}f}"
    if decimals == 0 and abs(number) < 1e9:
        return numbers.short_count(number)
    digits = max(0, floor(log10(abs(number)) + 1e-9) + decimals) if decimals else 2
    mantissa, exponent = f"{number:.{min(6, digits)}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa  # there is little room beside an axis
    return f"{mantissa}e{int(exponent)}"
