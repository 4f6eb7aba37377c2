"""Where presets are found: a path, the user's own folder, or those that come with zotui."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.errors import UserError
from engine.preset import Preset, load, suggest
from engine.rundir import home

_PACKAGED = Path(__file__).parent / "_presets"  # in an installed wheel
_CHECKOUT = Path(__file__).parent.parent / "presets"


def builtin_folder() -> Path:
    """The presets that come with zotui."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


def user_folder() -> Path:
    """The user's own presets; one with the name of a built-in preset replaces it."""
    return home() / "presets"


def available() -> dict[str, Path]:
    """Every preset's file by name, in alphabetical order but for `demo`, which comes first."""
    found = {path.stem: path for folder in (builtin_folder(), user_folder()) for path in folder.glob("*.toml")}
    return dict(sorted(found.items(), key=lambda item: (item[0] != "demo", item[0])))


def find(preset: str) -> Path:
    """The file of a preset given by name or path. Raises `UserError` with the nearest name."""
    known = available()
    if preset in known:
        return known[preset]
    if preset.endswith(".toml") or "/" in preset:
        path = Path(preset).expanduser()
        if path.is_file():
            return path
        raise UserError(f"{preset}: no such preset file; `zotui presets ls` lists the presets there are")
    raise UserError(f"{preset}: unknown preset{suggest(preset, known)}; `zotui presets ls` lists them")


def read(preset: str, overrides: Iterable[str] = ()) -> Preset:
    """Find and validate a preset, with `key=value` overrides. Raises `UserError`."""
    path = find(preset)
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    return load(preset, text, overrides)
