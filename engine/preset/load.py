"""From TOML and `--set` to a preset, and what is wrong with it in a line for people."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.errors import UserError
from engine.methods.catalogue import CONTROL
from engine.preset.elsewhere import meant, misspelt, needless
from engine.preset.schema import Preset
from engine.preset.section import Section
from engine.text import suggest

_NAME = "method.name"


def load(source: str, text: str, overrides: Iterable[str] = ()) -> Preset:
    """Validate the TOML `text` of the preset called `source`, with `key=value` overrides applied.

    Where these choose another method, what the file says of its own is left out: that is what the new one brings. What
    belongs to none, such as the schedule, stays.

    Raises `UserError` naming the key and the remedy.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{source}: not valid TOML: {error}") from None
    overrides = list(overrides)
    _drop_other_method(data, overrides)
    for override in overrides:
        _apply(data, override)
    try:
        return Preset.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{source}: {explain(error)}") from None


def load_file(path: Path) -> Preset:
    """Read and validate a preset file. Raises `UserError`."""
    return load(str(path), read_text(path))


def read_text(path: Path) -> str:
    """What a file of keys says, in UTF-8 whatever the locale; a byte order mark is read over. Raises `UserError`."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 (at byte {error.start:,}); save it as UTF-8") from None


def keys(schema: type[Section] | None = None) -> dict[str, str]:
    """Every dotted key of a preset, or of another `schema`, with its documentation."""
    found: dict[str, str] = {}
    for name, field in (schema or Preset).model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            for key, inner in section.model_fields.items():
                found[f"{name}.{key}"] = inner.description or ""
        else:
            found[name] = field.description or ""
    return found


def _drop_other_method(data: dict[str, Any], overrides: list[str]) -> None:
    """The settings of a method are no settings of another."""
    section = data.get("method")
    chosen = [value.strip() for key, _, value in (each.partition("=") for each in overrides) if key.strip() == _NAME]
    if chosen and isinstance(section, dict) and section.get("name", "lozo") != chosen[-1].strip("\"'"):
        data["method"] = {key: value for key, value in section.items() if key in CONTROL}


def _apply(data: dict[str, Any], override: str) -> None:
    key, equals, raw = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UserError(f"--set {override}: expected key=value, for example --set method.lr=1e-6")
    parts = key.split(".")
    if _is_section(key):
        raise UserError(f"--set {key}: is a section, no key; {_keys_of(key)}")
    if key not in keys() and not key.startswith("task.verbalizer."):
        raise UserError(f"--set {key}: unknown key{_did_you_mean(key, Preset)}")
    section = data
    for part in parts[:-1]:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise UserError(f"--set {key}: {part} is a value, not a section")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw.strip()
    section[parts[-1]] = raw.strip() if _holds_text(key) and not isinstance(value, str) else value


def _holds_text(key: str) -> bool:
    """Whether a key is plain text, so that `--set task.label=1` means the column called 1."""
    section, _, name = key.partition(".")
    model = Preset.model_fields[section].annotation
    if not (isinstance(model, type) and issubclass(model, Section)) or name not in model.model_fields:
        return False
    return model.model_fields[name].annotation in (str, str | None)


def _is_section(key: str) -> bool:
    field = Preset.model_fields.get(key)
    return field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def _keys_of(section: str) -> str:
    return f"its keys are {', '.join(key for key in keys() if key.startswith(f'{section}.'))}"


def _did_you_mean(key: str, schema: type[Section]) -> str:
    """By its name in another section or another trainer, else by how it is spelt; never the key itself."""
    known = [name for name in (*keys(schema), *schema.model_fields) if name != key]
    if schema is Preset:
        if why := needless(key):
            return f"; {why}"
        name = key.rpartition(".")[2].lower()
        elsewhere = [ours for ours in known if ours.rpartition(".")[2] == name]
        means = meant(key) or (elsewhere[0] if len(elsewhere) == 1 else misspelt(key, known))
        if means:
            return f"; did you mean '{means}'?"
    return suggest(key.lower(), known)


def _within(key: str, value: Any, schema: type[Section]) -> str:
    """Of a section that is not there, such as [training], the key in it that is called otherwise here."""
    if not isinstance(value, dict) or schema is not Preset or get_close_matches(key, schema.model_fields):
        return key
    inside = [_within(f"{key}.{name}", inner, schema) for name, inner in value.items()]
    known = [name for name in inside if meant(name)] or [name for name in inside if _did_you_mean(name, schema)]
    return known[0] if known else key


def explain(error: ValidationError, schema: type[Section] = Preset) -> str:
    """The first fault, as `key: what is wrong; what to do`."""
    # A misspelt key comes first: what it leaves missing follows from it.
    first = min(error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        key = _within(key, first["input"], schema)
        return f"{key}: unknown key{_did_you_mean(key, schema)}{more}"
    if first["type"] == "missing":
        return f"{key}: missing; {keys(schema).get(key, 'a required section')}{more}"
    if schema is Preset and _is_section(key) and first["type"] == "model_type":
        return f"{key}: is a section, not {first['input']!r}; {_keys_of(key)}{more}"
    message = first["msg"].removeprefix("Value error, ")
    if not key:  # of keys in several sections, which it names
        return f"{message}{more}"
    message = message[0].lower() + message[1:]
    given = first.get("input")
    given = (
        str(given).lower() if isinstance(given, bool) else repr(given) if isinstance(given, (int, float, str)) else ""
    )
    shown = f", not {given}" if given else ""
    about = keys(schema).get(key, "")
    return f"{key}: {message}{shown}{'; ' + about if about else ''}{more}"
