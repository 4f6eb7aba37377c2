"""A preset as text: what is proposed, with why above each key, and what was decided by whoever asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import tomlkit

from engine.text import is_plain, plain

Sections = Mapping[str, Mapping[str, Any]]

_SET = "as you set it"


def toml_of(description: str, sections: Sections, why: Mapping[str, str], given: Sections) -> str:
    """The TOML of a preset whose keys are `sections`, with those that are `given` in their place.

    `why` is by dotted key, and stands above it.
    """
    lines = [f"description = {_value(description)}"]
    for name, keys in sections.items():
        decided = given.get(name, {})
        lines += ["", f"[{name}]"]
        for key, value in {**keys, **decided}.items():
            set_here = key in decided
            if isinstance(value, dict) and set_here:
                value = {**(keys.get(key) or {}), **value}
            reason = _SET if set_here else why.get(f"{name}.{key}", "")
            lines += [f"# {line}" for line in [" ".join(plain(reason).split())] if line]
            lines.append(f"{key} = {_value(value)}")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{_quoted(str(key))} = {_value(text)}" for key, text in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, str):
        return _quoted(value)
    return tomlkit.item(value).as_string()


def _quoted(text: str) -> str:
    """A text on one line, with what a terminal would obey written out."""
    return tomlkit.item(text).as_string() if is_plain(text) else json.dumps(text)
