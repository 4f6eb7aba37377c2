"""`zotui preflight`: what a run would start on, and what it takes."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.errors import EXIT_DONE
from engine.preset.schema import Preset
from engine.protocol.codec import encode
from engine.protocol.events import Error, Phase
from engine.text import plain
from zotui.engines.preflight import PreflightEngine
from zotui.home import presets
from zotui.text.findings import rows
from zotui.text.output import talk


def run_preflight(preset: Preset, *, calibrate: bool, as_json: bool) -> int:
    """Print what a run of `preset` would start on and take; returns the exit code."""
    engine = PreflightEngine.of(preset, calibrate=calibrate)
    refused = False
    try:
        for found in engine.findings():
            if as_json:
                print(plain(encode(found).decode().rstrip()), flush=True)
            else:
                for name, line in rows(found):
                    print(plain(f"{name:<12}{line}".rstrip()), flush=True)
                if isinstance(found, Phase) and found.detail and found.progress is None:
                    talk(f"{found.name}: {found.detail}")
            if isinstance(found, Error):
                refused = True
                talk(f"zotui: {found.text}")
        code = engine.wait()
    finally:
        engine.close()
    if code != EXIT_DONE and not refused:
        talk(
            f"zotui: the preflight ended with code {code}; `{' '.join(PreflightEngine.COMMAND)} PRESET.toml` shows why"
        )
    return code


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
