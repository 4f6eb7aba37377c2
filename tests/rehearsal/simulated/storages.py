"""Which storages lie on the card, which are pinned in the host's memory, and which wait for a copy from the card."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from tests.rehearsal.simulated.counters import counters


class Storages:
    """A set of storages, which forgets those that are gone."""

    def __init__(self) -> None:
        self._held: set[int] = set()
        self._until_pruned = 1024

    def add(self, tensor: torch.Tensor) -> None:
        """The tensor's storage, from now on."""
        storage = tensor.untyped_storage()
        if storage._cdata in self._held:
            return
        self._held.add(storage._weak_ref())  # the same number; as long as it is held, no other storage gets it
        self._until_pruned -= 1
        if not self._until_pruned:
            for gone in [ref for ref in self._held if torch.UntypedStorage._expired(ref)]:
                torch.UntypedStorage._free_weak_ref(gone)
                self._held.remove(gone)
            self._until_pruned = max(1024, len(self._held))

    def discard(self, tensor: torch.Tensor) -> None:
        """The tensor's storage, no longer."""
        number = tensor.untyped_storage()._cdata
        if number in self._held:
            self._held.remove(number)
            torch.UntypedStorage._free_weak_ref(number)

    def clear(self) -> None:
        """None of them any longer."""
        for ref in self._held:
            torch.UntypedStorage._free_weak_ref(ref)
        self._held.clear()

    def __contains__(self, tensor: torch.Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._held


CARD, PINNED = Storages(), Storages()
EXPECTED = Storages()  # pinned, and told to receive a copy from the card that nobody has waited for


def waited(what: str) -> None:
    """The host waits for the card: what it was to receive is there."""
    counters.wait(what)
    EXPECTED.clear()


def tensors(*values: Any) -> Iterator[torch.Tensor]:
    """All tensors in arguments or results."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors(*value)
        elif isinstance(value, dict):
            yield from tensors(*value.values())
