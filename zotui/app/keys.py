"""Every key of the app, from the bindings themselves: what help and the palette show, and what `[keys]` may change.

The id of a binding is `where.what`: where is a screen, `app` for everywhere, or a pane that several screens have. Its
tooltip says in a sentence what it does.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import Keys, _character_to_key, format_key
from textual.screen import ModalScreen, Screen

from engine.errors import UserError
from engine.text import suggest

EVERYWHERE = "app"
_MODIFIERS = ("ctrl", "shift", "alt", "meta", "super", "hyper")
_SPELT = {
    "slash": "/",
    "minus": "-",
    "plus": "+",
    "equals_sign": "=",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
}


@dataclass(frozen=True)
class Action:
    """What one or more keys do."""

    id: str
    keys: tuple[str, ...]  # in Textual's spelling
    text: str  # what they do, in a sentence

    @property
    def where(self) -> str:
        """Where the keys work."""
        return self.id.partition(".")[0]

    @property
    def shown(self) -> str:
        """The keys as they are written for people: `space`, `? or f1`, `+`."""
        return " or ".join(dict.fromkeys(spelt(key) for key in self.keys))


def own_bindings(kind: type[DOMNode]) -> list[Binding]:
    """The bindings that a class brings itself, one for each key."""
    return list(Binding.make_bindings(kind.__dict__.get("BINDINGS", ())))


@cache
def nodes() -> tuple[type[DOMNode], ...]:
    """Every class of this app that may have keys: the app, its screens and its panes."""
    for module in pkgutil.walk_packages([str(Path(__file__).parent)], "zotui.app."):
        importlib.import_module(module.name)
    return tuple(kind for kind in _below(DOMNode) if kind.__module__.startswith("zotui."))


@cache
def actions() -> dict[str, Action]:
    """Every action that has keys, by id, with the keys as they come."""
    return _gathered(binding for kind in nodes() for binding in own_bindings(kind))


def mapped(action: Action, keymap: Mapping[str, str]) -> Action:
    """The same with the user's keys."""
    chosen = keymap.get(action.id)
    return action if chosen is None else Action(action.id, tuple(_split(chosen)), action.text)


def on_screen(screen: Screen[Any], app: App[Any], keymap: Mapping[str, str]) -> dict[str, list[Action]]:
    """What keys do on a screen, by where they work: the screen's own first, what works everywhere last."""
    kinds: dict[type[DOMNode], None] = {}
    for node in (screen, *screen.walk_children(), app):
        kinds |= dict.fromkeys(kind for kind in type(node).__mro__ if issubclass(kind, DOMNode))
    found: dict[str, list[Action]] = {}
    for action in _gathered(b for kind in kinds if kind in nodes() for b in own_bindings(kind)).values():
        found.setdefault(action.where, []).append(mapped(action, keymap))
    return {where: found[where] for where in sorted(found, key=lambda one: one == EVERYWHERE)}


def checked(chosen: Mapping[str, str]) -> dict[str, str]:
    """The user's keys, spelt as Textual wants them.

    Raises `UserError` for an unknown action or key, and for two actions on one key of a screen.
    """
    keymap: dict[str, str] = {}
    for name, keys in chosen.items():
        if name not in actions():
            raise UserError(f"keys.{name}: unknown action{suggest(name, actions())}; `zotui config show` lists them")
        keymap[name] = ",".join(_checked_key(name, key) for key in _split(keys))
    taken: dict[str, list[Action]] = {}
    for action in (mapped(action, keymap) for action in actions().values()):
        for key in action.keys:
            for other in taken.get(key, ()):
                remapped = {action.id, other.id} & set(keymap)
                if remapped and _meet(action.where, other.where) and not _meant(action.id, other.id, key):
                    first, second = sorted((other.id, action.id), key=lambda one: one in keymap)
                    raise UserError(f"keys.{second}: {spelt(key)} is the key of {first} already; give one another key")
            taken.setdefault(key, []).append(action)
    return keymap


def spelt(key: str) -> str:
    """A key as one would type or say it: `question_mark` is `?`, `escape` stays."""
    *modifiers, last = key.split("+")
    last = _SPELT.get(last) or (format_key(last) if "_" in last else last)
    return "+".join([*modifiers, last])


def _split(keys: str) -> list[str]:
    return [key.strip() if key.strip() else key for key in keys.split(",")]


def _checked_key(name: str, key: str) -> str:
    *modifiers, last = [key] if len(key) == 1 else key.split("+")
    last = _character_to_key(last) if len(last) == 1 else last
    if all(modifier in _MODIFIERS for modifier in modifiers) and last in _known_keys():
        return "+".join([*modifiers, last])
    raise UserError(f"keys.{name}: {key!r} is no key{suggest(key, _known_keys())}; as in p, ?, f5, space or ctrl+p")


@cache
def _known_keys() -> frozenset[str]:
    named = {key.value for key in Keys if not key.value.startswith("<")}
    return frozenset({*named, "space", *(_character_to_key(chr(code)) for code in range(33, 127))})


def _meet(one: str, other: str) -> bool:
    """Whether both may work at once: in one place, everywhere, or in a pane and the screen around it."""
    if one == other:
        return True
    if {one, other} & _places(ModalScreen):  # there is nothing around or in a dialog
        return False
    return EVERYWHERE in (one, other) or ((one in _places(Screen)) != (other in _places(Screen)))


def _meant(one: str, other: str, key: str) -> bool:
    """Whether both have this key as they come: a pane takes it first, then the screen around it or another one."""
    apart = one.partition(".")[0] != other.partition(".")[0]
    return apart and key in actions()[one].keys and key in actions()[other].keys


@cache
def _places(kind: type[DOMNode]) -> frozenset[str]:
    """Where the keys of such classes work."""
    own = (binding.id or "" for node in nodes() if issubclass(node, kind) for binding in own_bindings(node))
    return frozenset(name.partition(".")[0] for name in own) - {EVERYWHERE}


def _gathered(bindings: Iterable[Binding]) -> dict[str, Action]:
    """Bindings by id; those that share one are one action, and its text is the first's that has one."""
    found: dict[str, Action] = {}
    for binding in bindings:
        if binding.id is not None:
            before = found.get(binding.id, Action(binding.id, (), ""))
            keys = tuple(dict.fromkeys((*before.keys, binding.key)))
            found[binding.id] = Action(binding.id, keys, before.text or binding.tooltip)
    return found


def _below(kind: type[DOMNode]) -> Iterator[type[DOMNode]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)
