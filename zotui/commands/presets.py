"""The commands about presets: list, show, copy and validate them, and make one for a file."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.preset.method import set_for_nothing
from engine.text import plain
from zotui.commands.new_preset import new
from zotui.commands.options import PLAIN, Changes, PresetName
from zotui.home import presets
from zotui.text.output import print_table

commands = typer.Typer(help="List, show, copy and validate presets; make one for a file of your own.", **PLAIN)
commands.command()(new)


@commands.command("ls")
def ls() -> None:
    """List the presets there are: those that come with zotui, and your own."""
    print_table([(name, presets.describe(path)) for name, path in presets.available().items()])


@commands.command()
def show(preset: PresetName) -> None:
    """Print a preset's file, which explains every knob."""
    typer.echo(plain(presets.text(presets.find(preset))).rstrip("\n"))


@commands.command()
def copy(
    preset: PresetName,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Name of the copy.", show_default=False)] = None,
) -> None:
    """Copy a preset into your own folder, to be edited."""
    typer.echo(plain(str(presets.copy(preset, name))))


@commands.command()
def validate(preset: PresetName, changes: Changes = None) -> None:
    """Check a preset's keys and values; it says, too, which of its files are not there, and what changes nothing."""
    wanted = presets.read(preset, changes or ())
    gone = wanted.missing()
    typer.echo(plain(f"{preset}: valid{', but these are not there: ' * bool(gone)}{'; '.join(gone)}"))
    if without_effect := set_for_nothing(wanted.method):
        typer.echo(plain(f"{', '.join(without_effect)}: without effect on {wanted.method.name} as it is"))
