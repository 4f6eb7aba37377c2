"""Text from elsewhere (a preset, a model's folder, a library's error) as a terminal may show it.

A terminal obeys control characters: they move the cursor, set its title or write its clipboard; marks of
direction make a line read as another one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

# Control characters but for tab and newline (C0, DEL, C1), separators of lines, what overrides the direction
# of writing, and halves of a character, which cannot be printed at all.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """`text` with what a terminal would obey written out, as in `\\u001b`, which JSON reads as the same."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def is_plain(text: str) -> bool:
    """Whether a terminal shows `text` as it is."""
    return _OBEYED.search(text) is None


def stripped(text: str) -> str:
    """`text` without what a terminal would obey, for a place that takes no more cells than it had."""
    return _OBEYED.sub("", text)


def in_bytes(size: int) -> str:
    """A number of bytes for people: `712 B`, `1.4 MiB`, `25.1 GiB`."""
    amount, units = float(size), ["B", "KiB", "MiB", "GiB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    return f"{amount:.0f} {units[0]}" if amount >= 100 or units[0] == "B" else f"{amount:.3g} {units[0]}"


def listed(words: Sequence[str], most: int = 20) -> str:
    """Words for people, with commas, and how many there are beyond the first."""
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def suggest(word: str, known: Iterable[str]) -> str:
    """`; did you mean '...'?`, or nothing when no known word is near."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not near:  # a right name in the wrong section
        tail = {name.rpartition(".")[2]: name for name in known}
        near = [tail[t] for t in difflib.get_close_matches(word.rpartition(".")[2], tail, n=1, cutoff=0.8)]
    return f"; did you mean '{near[0]}'?" if near else ""
