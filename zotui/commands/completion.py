"""What the shell's tab key offers: commands and options, names of presets and runs, and keys for `--set`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Annotated

import typer

from engine.errors import UserError
from engine.preset.load import keys
from engine.preset.task import TASKS
from engine.runs.home import runs_home
from zotui.home import presets

VARIABLE = "_ZOTUI_COMPLETE"
SHELLS = ("bash", "zsh", "fish")

_UNQUOTED = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""Names that no shell reads as more than a name: others, which may come from anybody, have to be typed."""

_NO_SPACE = {
    "bash": """
_zotui_keys() {
    _zotui_completion "$@"
    [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
}
complete -o default -F _zotui_keys zotui
""",
    "zsh": """
_zotui_keys() {
    if [[ ${words[CURRENT-1]} != --set ]]; then _zotui_completion; return; fi
    local -x COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) _ZOTUI_COMPLETE=complete_bash  # bare words
    compadd -S '' -- ${(f)"$(zotui)"}
}
compdef _zotui_keys zotui
""",
}
"""Around typer's functions, which have these shells put a space after `key=`, where the value comes; fish puts none."""


def completion(
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", help="The shell to print it for.")],
) -> None:
    """Print what makes the tab key complete zotui's commands, presets, runs and keys.

    For bash, in ~/.bashrc: source <(zotui completion bash)
    """
    if shell not in SHELLS:
        raise UserError(f"completion {shell}: not a shell known here; bash, zsh or fish")
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    typer.echo(get_completion_script(prog_name="zotui", complete_var=VARIABLE, shell=shell))
    typer.echo(_NO_SPACE.get(shell, ""), nl=False)


def prepare() -> None:
    """Learn the shells' ways, when it is a shell that asks."""
    if VARIABLE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()


def preset_names(incomplete: str) -> list[str]:
    """The presets there are."""
    return _fitting(presets.available(), incomplete)


def run_names(incomplete: str) -> list[str]:
    """The runs in zotui's folder, newest first."""
    found = sorted((-path.stat().st_mtime, path.parent.name) for path in runs_home().glob("*/run.json"))
    return _fitting((name for _, name in found), incomplete)


def task_names(incomplete: str) -> list[str]:
    """The tasks that have a name."""
    return _fitting(TASKS, incomplete)


def set_keys(incomplete: str) -> list[str]:
    """The keys of a preset, up to the value."""
    return [f"{key}=" for key in _fitting(keys(), incomplete)]


def _fitting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete) and _UNQUOTED.fullmatch(name)]
