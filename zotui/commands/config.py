"""The commands about the user's configuration: where it is, and what can be in it."""

from __future__ import annotations

import typer

from engine.text import plain
from zotui.commands.options import PLAIN
from zotui.home import config

commands = typer.Typer(help="Say where your configuration is, and what can be in it.", **PLAIN)


@commands.command()
def path() -> None:
    """Print where the configuration is, or would be."""
    typer.echo(plain(str(config.file())))


@commands.command()
def show() -> None:
    """Print every key with its documentation, as a file to start from; what you did not set is commented out."""
    from zotui.app import keys  # Textual: only for those who ask

    chosen = config.read()
    keys.checked(chosen.keys)
    documented = {name: (",".join(action.keys), action.text) for name, action in keys.actions().items()}
    typer.echo(plain(config.describe(chosen, documented)))
