"""The commands that start an engine of their own instead of a run: export, parity, bench, preflight, doctor."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from zotui.commands.completion import preset_names, run_names, set_keys

PLAIN: dict[str, Any] = {
    "rich_markup_mode": None,  # rich is slow to import
    "pretty_exceptions_enable": False,
    "add_completion": False,
    "context_settings": {"help_option_names": ["--help", "-h"]},
}
"""What every group of commands is made with."""

RunName = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run's name or path.", show_default=False, autocompletion=run_names),
]
PresetName = Annotated[
    str,
    typer.Argument(
        metavar="PRESET", help="A preset's name, or a file.", show_default=False, autocompletion=preset_names
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a key of the preset; may be repeated.", autocompletion=set_keys
    ),
]
