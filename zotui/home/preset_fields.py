"""The keys of a preset as a form shows them: kind, default, bounds and documentation, from the schema."""

from __future__ import annotations

import tomllib
import types
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.preset.schema import Preset

_BOUNDS = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}


@dataclass(frozen=True)
class Field:
    """One key."""

    key: str  # dotted
    kind: Literal["choice", "switch", "text", "table", "value"]  # text is written as it is, a value as TOML
    choices: tuple[str, ...]
    default: Any  # None: unset
    required: bool
    about: str
    bounds: str

    @property
    def section(self) -> str:
        """Its section; empty at the top of the file."""
        return self.key.rpartition(".")[0]

    @property
    def name(self) -> str:
        """Its name in the section."""
        return self.key.rpartition(".")[2]

    def shown(self, value: Any) -> str:
        """A value as the form writes it; nothing for one that is unset."""
        if value is None:
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, dict):
            pairs = (f"{_key(key)} = {_quoted(text)}" for key, text in value.items())
            return f"{{ {', '.join(pairs)} }}"
        return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)

    def read(self, text: str) -> Any:
        """What the text in the form means; None for unset. What is no such value is left to be refused."""
        text = text if self.kind == "text" else text.strip()
        if not text.strip():
            return None
        if self.kind in ("text", "choice"):
            return text
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except (tomllib.TOMLDecodeError, KeyError):
            return text


def fields() -> list[Field]:
    """Every key, in the order of the schema."""
    found = []
    for name, info in Preset.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            found += [_field(f"{name}.{key}", inner) for key, inner in section.model_fields.items()]
        else:
            found.append(_field(name, info))
    return found


def _field(key: str, info: FieldInfo) -> Field:
    annotation: Any = info.annotation
    inner = [annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [one for one in get_args(annotation) if one is not type(None)]
    choices = tuple(map(str, get_args(inner[0]))) if get_origin(inner[0]) is Literal else ()
    kind: Any = "choice" if choices else "switch" if inner[0] is bool else "text" if inner[0] is str else "value"
    if get_origin(inner[0]) is dict:
        kind = "table"
    limits = [(name, getattr(one, name)) for one in info.metadata for name in _BOUNDS if hasattr(one, name)]
    return Field(
        key=key,
        kind=kind,
        choices=choices,
        default=None if info.is_required() else info.default,
        required=info.is_required(),
        about=info.description or "",
        bounds=", ".join(_BOUNDS[name].format(f"{limit:g}" if limit != 2**63 else "2^63") for name, limit in limits),
    )


def _key(text: str) -> str:
    bare = text and all(c.isascii() and (c.isalnum() or c in "-_") for c in text)
    return text if bare else _quoted(text)


def _quoted(text: Any) -> str:
    import tomlkit

    return tomlkit.item(text).as_string()
