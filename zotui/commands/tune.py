"""`zotui tune`: a learning rate and an eps that are found, not guessed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.errors import UserError
from engine.preset.load import read_text
from engine.preset.schema import Preset
from engine.protocol.events import Log
from engine.protocol.findings import Finding, Proposal
from engine.text import plain
from zotui.commands.asking import ask
from zotui.commands.options import Changes, PresetName
from zotui.engines.tuning import EXAMPLES, TuneEngine, Tuning
from zotui.home import preset_edit, presets
from zotui.text.output import print_out, print_table, talk
from zotui.text.trials import proposed, settings, spoken, table


def run_tune(preset: Preset, steps: int | None, examples: int, *, as_json: bool) -> tuple[int, Proposal | None]:
    """Find a rate, and say what is found; returns the exit code and the proposal."""
    engine, tuning = TuneEngine.on(preset, steps, examples), Tuning()

    def take(found: Finding) -> None:
        tuning.take(found)
        if as_json:
            return
        if line := spoken(found):
            talk(line)
        if isinstance(found, Log) and found.level == "warning":
            talk(f"warning: {found.text}")

    code = ask(engine, "tuning", take, as_json=as_json)
    if tuning.trials and not as_json:
        print_table(table(tuning.trials.values()))
    return code, tuning.proposal


def tune(
    preset: PresetName,
    changes: Changes = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", metavar="N", min=8, help="Of the longest trials. Default: a tenth of the run's, 200 to 400."
        ),
    ] = None,
    examples: Annotated[
        int, typer.Option("--examples", metavar="N", min=2, help="Of the validation split, to judge trials by.")
    ] = EXAMPLES,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="Write the preset with what was found, comments and all."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="A JSON object per finding.")] = False,
) -> None:
    """Try learning rates and eps in short trials from one loaded model, and propose what learned best."""
    text = read_text(presets.find(preset))
    wanted = presets.read(preset, changes or ())
    target = to.expanduser() if to is not None else None
    if target is not None:
        _refuse(target)
    code, proposal = run_tune(wanted, steps, examples, as_json=json)
    if proposal is not None and not json:
        print_out(f"\n{proposed(proposal)}")
    if proposal is not None and target is not None:
        keys = [".".join(change.partition("=")[0].strip().split(".")[:2]) for change in changes or ()]
        values = {**_given(wanted, keys), "method.lr": proposal.lr, "method.eps": proposal.eps}
        _write(target, preset_edit.edit(text, values))
        talk(f"{target}: written; zotui run {target}")
    elif proposal is not None and not json:
        given = (*(changes or ()), *settings(proposal))
        print_out(plain(f"zotui run {preset} {' '.join(f'--set {one}' for one in given)}"))
    raise typer.Exit(code)


def _refuse(target: Path) -> None:
    """Before anything is started."""
    if target.suffix != ".toml":
        raise UserError(f"--to {target}: a preset is a file that ends in .toml")
    if target.exists():
        raise UserError(f"--to {target}: is there already; choose another file")
    if not target.absolute().parent.is_dir():
        raise UserError(f"--to {target}: there is no folder {target.absolute().parent}")


def _given(wanted: Preset, keys: Sequence[str]) -> dict[str, Any]:
    """What a preset holds at these keys."""
    held = wanted.model_dump()
    held |= {f"{name}.{key}": value for name, of in held.items() if isinstance(of, dict) for key, value in of.items()}
    return {key: held[key] for key in keys}


def _write(target: Path, text: str) -> None:
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"--to {target}: cannot be written ({error.strerror})") from None
