"""The user's configuration: `config.toml` in zotui's folder. Only the user writes it; no preset and no run can."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tomlkit
from pydantic import BeforeValidator, Field, ValidationError

from engine.errors import UserError
from engine.preset.load import explain, read_text
from engine.preset.section import Section
from engine.runs.home import home

ThemeName = Literal["zotui-dark", "zotui-light", "colour-blind-dark", "colour-blind-light"]
THEMES: tuple[ThemeName, ...] = get_args(ThemeName)
EventName = Literal["finished", "failed", "best"]


def _as_arguments(value: Any) -> Any:
    """A command may be written as one would type it; no shell ever reads it."""
    try:
        return shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {error}") from None


class Ui(Section):
    theme: ThemeName = Field("zotui-dark", description="Colours; `t` in the app switches, and writes it here.")
    ascii: Literal["auto", True, False] = Field(
        "auto",
        description="Draw with ASCII only; auto: where the locale is not UTF-8 or the terminal has no braille. "
        "ZOTUI_ASCII=1 or 0 overrides it.",
    )
    spare_engine: bool = Field(
        True,
        description="Keep an engine ready whose libraries are loaded, so that a run starts within seconds; about "
        "0.6 GiB, and none where memory is short.",
    )


class Notify(Section):
    on: list[EventName] = Field(
        ["finished", "failed"],
        description="What to tell of: finished, failed (or held), and best, a new best evaluation.",
    )
    bell: bool = Field(True, description="Ring the terminal's bell.")
    desktop: bool = Field(
        False, description="Show it on the desktop: by the terminal if it can (also over SSH), else by notify-send."
    )
    command: Annotated[list[str], BeforeValidator(_as_arguments)] = Field(
        [],
        description="A program to start, as words or a list, without a shell; ZOTUI_EVENT, ZOTUI_RUN, ZOTUI_PATH, "
        "ZOTUI_TEXT, ZOTUI_METRIC, ZOTUI_VALUE and ZOTUI_STEP tell it what happened.",
    )


class Config(Section):
    """What the user chose."""

    ui: Ui = Ui()  # type: ignore[call-arg]
    keys: dict[str, str] = Field({}, description='Other keys, as in cockpit.pause = "space,p".')
    notify: Notify = Notify()  # type: ignore[call-arg]


def file() -> Path:
    """Where the configuration is, or would be."""
    return home() / "config.toml"


def read() -> Config:
    """The configuration; what is not in the file is as it comes. Raises `UserError` if the file is faulty."""
    try:
        loaded = tomllib.loads(_text())
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file()}: not valid TOML: {error}") from None
    if isinstance(keys := loaded.get("keys"), dict):
        loaded["keys"] = _dotted(keys)
    try:
        return Config.model_validate(loaded)
    except ValidationError as error:
        raise UserError(f"{file()}: {explain(error, Config)}") from None


def remember_theme(name: str) -> None:
    """Write the theme into the file, which stays as it is otherwise. Raises `UserError`, also if the file is faulty."""
    read()
    document = tomlkit.parse(_text())
    if "ui" not in document:
        document["ui"] = tomlkit.table()
    document["ui"]["theme"] = name  # type: ignore[index]
    target = file()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_suffix(".tmp")
        aside.write_text(tomlkit.dumps(document), encoding="utf-8")
        aside.replace(target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})") from None


def describe(chosen: Config, keys: dict[str, tuple[str, str]]) -> str:
    """The configuration as TOML with the documentation of every key; `keys` are the actions' keys and texts.

    What was not chosen is commented out.
    """
    lines = []
    for section in ("ui", "notify"):
        part = getattr(chosen, section)
        lines.append(f"[{section}]")
        for name, field in type(part).model_fields.items():
            mark = "" if name in part.model_fields_set else "# "
            lines += [f"# {field.description}", f"{mark}{name} = {json.dumps(getattr(part, name), ensure_ascii=False)}"]
        lines.append("")
    lines += ["[keys]", f"# {Config.model_fields['keys'].description}"]
    for name, (key, text) in keys.items():
        mark = "" if name in chosen.keys else "# "
        lines.append(f"{mark}{name} = {json.dumps(chosen.keys.get(name, key))}  # {text}")
    return "\n".join(lines)


def _text() -> str:
    return read_text(file()) if file().exists() else ""


def _dotted(table: Mapping[str, object], before: str = "") -> dict[str, object]:
    """TOML reads `cockpit.pause = "p"` as a table in a table: the keys of actions are dotted names."""
    found: dict[str, object] = {}
    for name, value in table.items():
        found |= _dotted(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return found
