"""The command line: stdout is data, stderr is talk, and only the app's commands import Textual."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from engine import __version__
from engine.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from zotui.commands import completion as completion_command
from zotui.commands import config as config_commands
from zotui.commands import presets as preset_commands
from zotui.commands.bench import bench
from zotui.commands.compare import compare
from zotui.commands.doctor import doctor
from zotui.commands.eval import evaluate
from zotui.commands.export import export
from zotui.commands.options import PLAIN
from zotui.commands.parity import parity
from zotui.commands.preflight import preflight
from zotui.commands.run import attach, fork, open_app, resume, run
from zotui.commands.show import list_runs, show
from zotui.commands.stop import stop
from zotui.commands.trying import try_run
from zotui.commands.tune import tune
from zotui.interpreter import settle
from zotui.terminal import has_terminal
from zotui.text.output import close_stdout, write_out_the_unwritable


class _Group(TyperGroup):
    """Turns what can go wrong in any command into an exit code and at most one line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except UserError as error:
            typer.echo(f"zotui: {error}", err=True)
            raise typer.Exit(EXIT_USAGE) from None
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:  # `zotui list | head -1` has read enough
            close_stdout()
            raise typer.Exit(EXIT_DONE) from None
        return result


app = typer.Typer(cls=_Group, invoke_without_command=True, **PLAIN)
app.add_typer(preset_commands.commands, name="presets")
app.add_typer(config_commands.commands, name="config")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"zotui {__version__}")
        raise typer.Exit


@app.callback()
def start(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Fine-tune a language model with nothing but forward passes.

    Without a command the app opens, on a list of runs and presets.
    """
    if ctx.invoked_subcommand is None:
        if not has_terminal():
            raise UserError("the app needs a terminal; `zotui run PRESET` works without, `zotui --help` lists all")
        open_app(None)


app.command()(run)
app.command()(resume)
app.command()(fork)
app.command()(attach)
app.command()(stop)
app.command("list")(list_runs)
app.command()(show)
app.command()(compare)
app.command("eval")(evaluate)
app.command("try")(try_run)
app.command()(export)
app.command()(preflight)
app.command()(tune)
app.command()(parity)
app.command()(bench)
app.command()(doctor)
app.command()(completion_command.completion)


def main() -> None:
    """Entry point of the `zotui` command."""
    settle()
    write_out_the_unwritable()
    completion_command.prepare()
    app(prog_name="zotui")
