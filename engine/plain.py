"""Text from elsewhere (a preset, a model's folder, a library's error) as a terminal may show it.

A terminal obeys control characters: they move the cursor, set its title or write its clipboard; marks of
direction make a line read as another one.
"""

from __future__ import annotations

import re

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
