"""Something is done to a module as soon as it was imported, whoever imports it, and when."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

Change = Callable[[Any], None]


class AfterImport(importlib.abc.MetaPathFinder):
    """Finds modules as ever, and has the named ones changed once they are loaded."""

    def __init__(self, changes: dict[str, Change]) -> None:
        self._changes = changes
        self._looking: set[str] = set()

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name not in self._changes or name in self._looking:
            return None
        self._looking.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._looking.discard(name)
        if spec is not None and spec.loader is not None:
            # An import may fail, and be tried again: the change is for every one.
            spec.loader = _Loader(spec.loader, self._changes[name])
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: Any, change: Change) -> None:
        self._loader, self._change = loader, change

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._change(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def after_import(changes: dict[str, Change]) -> None:
    """From now on, for modules that were not imported so far."""
    late = [name for name in changes if name in sys.modules]
    assert not late, f"imported before the card was simulated: {late}"
    sys.meta_path.insert(0, AfterImport(changes))
