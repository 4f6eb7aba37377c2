"""Where presets are found: a path, the user's own folder, or those that come with zotui."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from engine.errors import UserError
from engine.preset.load import load, load_file, read_text
from engine.preset.paths import local
from engine.preset.schema import Preset
from engine.runs.home import home
from engine.text import suggest

_SPLITS = r"(train|training|validation|valid|val|dev|test|data)"
_PACKAGED = Path(__file__).parents[1] / "_presets"  # in an installed wheel
_CHECKOUT = Path(__file__).parents[2] / "presets"


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
    return load(preset, text(find(preset)), overrides)


def text(path: Path) -> str:
    """What a preset's file says. Raises `UserError` if it cannot be read."""
    return read_text(path)


def describe(path: Path) -> str:
    """One line about a preset for a list; it says so if the preset is not valid, or a file of it is not there."""
    try:
        preset = load_file(path)
    except UserError as error:
        return f"(not valid: {error})"
    return f"(missing: {'; '.join(gone)})" if (gone := preset.missing()) else preset.description


def copy(preset: str, name: str | None = None) -> Path:
    """Copy a preset into the user's folder under `name`, else its own, and return the new file.

    Raises `UserError` if that name is taken or no name for a file.
    """
    source = find(preset)
    return save(name or source.stem, text(source))


def own_file(name: str) -> Path:
    """Where the user's own preset called `name` lies, or would. Raises `UserError` for no name for a file."""
    name = name.removesuffix(".toml")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name):
        raise UserError(f"{name}: not a name for a preset; use letters, digits, dot, dash and underscore")
    return user_folder() / f"{name}.toml"


def name_for_own(name: str) -> str:
    """A name for what was made of the preset called so: its own if it is the user's, else one that is free."""
    known = available()
    return name if name in known and known[name].parent == user_folder() else free_name(f"my-{name}")


def free_name(name: str) -> str:
    """It, or with a number behind it, so that no preset is called so yet."""
    known = available()
    return next(free for free in (name, *(f"{name}-{number}" for number in range(2, 10_000))) if free not in known)


def name_for_data(data: str) -> str:
    """A name for a preset, of a file's own; of its folder's where that says only which split it is."""
    path = local(data).absolute()
    stem = path.name.partition(".")[0] if path.name[:1] != "." else ""
    stem = stem if not re.fullmatch(_SPLITS, stem, re.IGNORECASE) else path.parent.name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "my-data"


def save(name: str, content: str, *, replace: bool = False) -> Path:
    """Write a preset of the user's own, with the whole paths of local files, so that it works from any folder.

    Raises `UserError` if that name is taken, unless it is to be replaced.
    """
    target, content = own_file(name), _anchored(content)
    aside = target.with_suffix(".writing")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if replace:  # whole or not at all
            aside.write_text(content, encoding="utf-8")
            aside.replace(target)
            return target
        with target.open("x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        raise UserError(f"{target}: exists already; give the copy another name") from None
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})") from None
    return target


def _anchored(content: str) -> str:
    """A preset's text with paths that are there from here made absolute; one that is not valid stays as it is."""
    from zotui.home.preset_edit import edit

    try:
        before = load("preset", content)
        after = before.absolute()
        pairs = {key: (getattr(before.task, key), getattr(after.task, key)) for key in ("train", "validation", "test")}
        changes = {f"task.{key}": new for key, (old, new) in pairs.items() if new != old}
        if after.model.path != before.model.path:
            changes["model.path"] = after.model.path
        return edit(content, changes)
    except UserError:
        return content


def delete(path: Path) -> None:
    """Delete a preset of the user's own. Raises `UserError` for one that is not."""
    refuse_to_delete(path)
    try:
        path.unlink()
    except OSError as error:
        raise UserError(f"{path}: cannot be deleted ({error.strerror})") from None


def refuse_to_delete(path: Path) -> None:
    """Raise `UserError` for a preset that comes with zotui."""
    if path.parent != user_folder():
        raise UserError(f"{path.stem}: comes with zotui and stays; only your own presets can be deleted")
