"""One matrix under several names: of transformers' parameters, of a model's files, of vLLM's layers.

All three name the layers of a block alike; what comes before the list of blocks differs. `gpt_neox.layers.0...` and
`model.layers.0...` are one matrix, `h.0...` and `transformer.h.0...`, and for the language model of one that sees
`model.language_model.layers.0...` and `language_model.model.layers.0...`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_FROM_BLOCKS_ON = re.compile(r"[^.]+\.\d+\..+")


class Names:
    """Finds what one side calls a matrix by what another side calls it."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = set(names)
        self._by_ending: dict[str, list[str]] = {}
        for name in self._names:
            self._by_ending.setdefault(_ending(name), []).append(name)

    def find(self, name: str) -> str | None:
        """The same name, or else the one that ends like it from the blocks on; None if none does.

        Where several do, as a vision tower's may, it is the one that shares most of what comes before.
        """
        if name in self._names:
            return name
        ending = _ending(name)
        same = self._by_ending.get(ending, [])
        shared = [len(_before(name, ending) & _before(other, ending)) for other in same]
        if not shared or shared.count(max(shared)) > 1:
            return None
        return same[shared.index(max(shared))]


def _ending(name: str) -> str:
    found = _FROM_BLOCKS_ON.search(name)
    return found[0] if found else name.removeprefix("model.")


def _before(name: str, ending: str) -> set[str]:
    return set(name.removesuffix(ending).split("."))
