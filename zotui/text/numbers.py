"""How numbers, times and sizes are written on the screen."""

from __future__ import annotations

from itertools import takewhile

from engine.runs.best import LOWER_IS_BETTER, by_weight, judge

NOTHING = "–"
"""What stands where there is no figure yet."""


def duration(seconds: float) -> str:
    """A span of time: `0:42`, `12:05`, `3:07:41`, `2d 03:07`."""
    whole = max(0, round(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 48:
        days, hour = divmod(hours, 24)
        return f"{days}d {hour:02}:{minute:02}"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def rough(seconds: float) -> str:
    """About how long: `20 s`, `13 min`, `2 h 10 min`, `3 days`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minute = divmod(minutes, 60)
    return f"{hours} h {minute} min" if hours < 48 else f"{round(hours / 24)} days"


def brief(seconds: float) -> str:
    """The seconds that one thing took: `43 ms`, `1.36 s`, `75 s`."""
    if seconds < 0.1:
        return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s" if seconds < 60 else f"{seconds:.0f} s"


def span(seconds: float) -> str:
    """A measured time, whatever its size: `43 ms`, `12.3 s`, `3:07:41`."""
    return brief(seconds) if seconds < 60 else duration(seconds)


def age(seconds: float) -> str:
    """How long ago: `just now`, `12 min ago`, `3 h ago`, `4 days ago`."""
    for limit, unit, name in ((3600, 60, "min"), (86400 * 2, 3600, "h"), (float("inf"), 86400, "days")):
        if seconds < 60:
            return "just now"
        if seconds < limit:
            return f"{int(seconds // unit)} {name} ago"
    raise AssertionError("unreachable: the last limit is infinite")


def gib(size: int | float) -> str:
    """Bytes in GiB, three figures: `0.42`, `31.2`, `140`."""
    amount = size / 2**30
    return f"{amount:.2f}" if amount < 10 else f"{amount:.1f}" if amount < 100 else f"{amount:.0f}"


def size(amount: int | float) -> str:
    """Bytes with their unit, whatever their size: `12 MiB`, `1.1 GiB`, `140 GiB`."""
    value, units = float(amount), ["B", "KiB", "MiB", "GiB"]
    while value >= 1000 and len(units) > 1:
        value /= 1024
        units.pop(0)
    whole = value >= 10 or units[0] == "B"
    return f"{value:,.0f} {units[0]}" if whole else f"{value:.1f} {units[0]}"


def count(number: float) -> str:
    """A whole number with thousands apart: `20,000`."""
    return f"{round(number):,}"


def at_step(steps: int) -> str:
    """After how many steps an evaluation was: `at step 1,200`, `before training`."""
    return f"at step {count(steps)}" if steps else "before training"


def short_count(number: float) -> str:
    """A number for an axis: `0`, `500`, `1.5k`, `20k`, `1M`."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.4g}{unit}"
    return f"{number:.4g}"


def loss(value: float) -> str:
    """A loss, with as many decimals as it can use."""
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.4g}"


def accuracy(value: float) -> str:
    """An accuracy as a fraction: `0.639`."""
    return f"{value:.3f}"


def update_kept(kept: float, cosine: float | None) -> str:
    """How much of the intended update is there: `99.9%, cosine 0.998`."""
    return f"{kept:.1%}" if cosine is None else f"{kept:.1%}, cosine {cosine:.3f}"


def time_spent(spent: dict[str, float]) -> str:
    """What a run's measured time went into: `start-up 3.5 s, steps 1:02:03`; what took no time is left out."""
    return ", ".join(
        f"{kind.replace('_', '-')} {span(seconds)}"
        for kind, seconds in spent.items()
        if kind != "total" and seconds >= 0.05
    )


def figures(metrics: dict[str, float]) -> str:
    """The metrics of an evaluation on one line, that which a run is judged by first."""
    return "  ".join(f"{name} {metric_figure(name, metrics[name])}" for name in sorted(metrics, key=by_weight))


def metric_figure(name: str, value: float) -> str:
    """A metric's value with as many decimals as it can use."""
    return loss(value) if name in LOWER_IS_BETTER else accuracy(value)


def metric(metrics: dict[str, float]) -> str:
    """The one figure that stands for an evaluation."""
    name = judge(metrics)
    return f"{'acc' if name == 'accuracy' else name} {metric_figure(name, metrics[name])}" if name else NOTHING


def significant(value: float) -> str:
    """A number of any size, to three figures: `0.000123`, `1.2e-07`, `4,200`."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def share(value: float) -> str:
    """A share of a whole: `99.9%`."""
    return f"{value:.1%}"


def shortened(text: str, width: int) -> str:
    """At most `width` characters, the middle left out."""
    if len(text) <= width:
        return text
    front = max(0, (width - 1) // 2)
    return f"{text[:front]}…{text[len(text) - (width - 1 - front) :]}"


def told_apart(names: list[str], width: int) -> list[str]:
    """Names of at most `width` characters: where they are longer, the part in which they differ, and what is around."""
    first = _alike(names)
    same = _alike([name[first:][::-1] for name in names])
    return [_around(name, first, len(name) - same, width) for name in names]


def _alike(names: list[str]) -> int:
    """With how many characters they all begin."""
    return sum(1 for _ in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False)))


def _around(name: str, first: int, end: int, width: int) -> str:
    if len(name) <= width:
        return name
    if end - first > width - 2:
        return shortened(name[first:end] or name, width)
    while end - first < width - 2:
        first = max(0, first - 1)
        if end < len(name) and end - first < width - 2:
            end += 1
    return f"{'…' if first else ''}{name[first:end]}{'…' if end < len(name) else ''}"
