"""Change keys in a preset's text and leave the rest of it, above all its comments, as it is."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.items import InlineTable

from engine.errors import UserError

_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(#.*)?$")


def edit(text: str, changes: Mapping[str, Any]) -> str:
    """The TOML `text` with dotted keys set to new values, or made comments where that is None.

    A key that is only there as a comment (`# max_length = 256`) is written below that comment, any other
    new one at the end of its section. Raises `UserError` if the text is not valid TOML.
    """
    try:
        wanted = tomllib.loads(text)
        for key, value in changes.items():
            text = _set(text, key, value)
            _put(wanted, key, value)
    except (tomllib.TOMLDecodeError, tomlkit.exceptions.TOMLKitError) as error:
        raise UserError(f"not valid TOML: {error}") from None
    if tomllib.loads(text) != wanted:
        raise UserError("this file is laid out in a way that cannot be edited here; edit it by hand")
    return text


def _set(text: str, key: str, value: Any) -> str:
    section, _, name = key.rpartition(".")
    document = tomlkit.parse(text)
    table: Any = document.get(section) if section else document
    if value is None:
        if table is None or name not in table:
            return text
        return _comment_out(text, section, name) or _without(document, table, name)
    if table is not None and name in table:
        table[name] = _item(value)
        return tomlkit.dumps(document)
    if section and (table is None or isinstance(table, InlineTable)):
        if table is None:
            table = document[section] = tomlkit.table()
        table[name] = _item(value)
        return tomlkit.dumps(document)
    return _insert(text, section, f"{name} = {_item(value).as_string()}", name)


def _without(document: tomlkit.TOMLDocument, table: Any, name: str) -> str:
    del table[name]
    return tomlkit.dumps(document)


def _comment_out(text: str, section: str, name: str) -> str:
    """The line of a key made a comment, which keeps what is said beside it; nothing where it is not one line."""
    lines = text.removesuffix("\n").split("\n")
    first, last = _section(lines, section)
    place = next((n for n in range(first, last) if re.match(rf"\s*{re.escape(name)}\s*=", lines[n])), None)
    if place is None:
        return ""
    result = "\n".join([*lines[:place], f"# {lines[place]}", *lines[place + 1 :]]) + "\n"
    wanted = tomllib.loads(text)
    _put(wanted, f"{section}.{name}" if section else name, None)
    try:
        return result if tomllib.loads(result) == wanted else ""
    except tomllib.TOMLDecodeError:
        return ""


def _insert(text: str, section: str, line: str, name: str) -> str:
    """A new line in a section that is there: below its comment, else below the last line that says something."""
    lines = text.removesuffix("\n").split("\n")
    first, last = _section(lines, section)
    commented = re.compile(rf"\s*#+\s*{re.escape(name)}\s*=")
    place = next((n + 1 for n in range(first, last) if commented.match(lines[n])), None)
    if place is None:
        said = [n + 1 for n in range(first, last) if lines[n].strip() and not lines[n].lstrip().startswith("#")]
        place = max(said, default=first)
    return "\n".join([*lines[:place], line, *lines[place:]]) + "\n"


def _section(lines: list[str], section: str) -> tuple[int, int]:
    """The lines of a section, its header left out; of the top of the file for no section."""
    headers = [(n, found[1].strip()) for n, line in enumerate(lines) if (found := _HEADER.match(line))]
    starts = [0] if not section else [n + 1 for n, name in headers if name == section]
    if not starts:
        return len(lines), len(lines)
    return starts[0], min((n for n, _ in headers if n >= starts[0]), default=len(lines))


def _item(value: Any) -> Any:
    if not isinstance(value, dict):
        return tomlkit.item(value)
    table = tomlkit.inline_table()
    table.update(value)
    return table


def _put(data: dict[str, Any], key: str, value: Any) -> None:
    section, _, name = key.rpartition(".")
    if value is None:
        (data.get(section, {}) if section else data).pop(name, None)
    else:
        (data.setdefault(section, {}) if section else data)[name] = value
