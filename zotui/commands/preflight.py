"""`zotui preflight`: what a run would start on, and what it takes."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.preset.schema import Preset
from engine.protocol.findings import Finding
from zotui.commands.asking import ask
from zotui.engines.preflight import PreflightEngine
from zotui.home import presets
from zotui.text.findings import rows
from zotui.text.output import print_out


def run_preflight(preset: Preset, *, calibrate: bool, as_json: bool) -> int:
    """Print what a run of `preset` would start on and take; returns the exit code."""

    def take(found: Finding) -> None:
        for name, line in () if as_json else rows(found):
            print_out(f"{name:<12}{line}".rstrip())

    return ask(PreflightEngine.of(preset, calibrate=calibrate), "the preflight", take, as_json=as_json)


def preflight(
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="A preset's name, or a file.", show_default=False)],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the preset; may be repeated."),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Also load the model, time a few steps and estimate the run's time.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="A JSON object per finding.")] = False,
) -> None:
    """Say what a run would start on, and what it takes of this machine; nothing is started."""
    raise typer.Exit(run_preflight(presets.read(preset, changes or ()), calibrate=calibrate, as_json=json))
