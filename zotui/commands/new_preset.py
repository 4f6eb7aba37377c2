"""`zotui presets new`: a preset for a file of one's own, proposed from a look at it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import UserError
from engine.preset.load import load
from engine.protocol.findings import Draft, Finding
from zotui.commands.asking import ask
from zotui.commands.options import Changes
from zotui.engines.proposing import MODEL, ProposeEngine
from zotui.home import presets
from zotui.text.drafts import lines
from zotui.text.output import print_out, talk


def new(
    data: Annotated[
        str,
        typer.Option(
            "--data", metavar="FILE", help="Your data: .jsonl, .json, .csv, .tsv or .parquet.", show_default=False
        ),
    ],
    model: Annotated[str, typer.Option("--model", metavar="M", help="A model's folder or hub id.")] = MODEL,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="Of the preset. Default: the file's or its folder's.", show_default=False
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FILE",
            help="Write it there, not among your presets; - is stdout, which then has nothing else.",
        ),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a preset of that name.")] = False,
    changes: Changes = None,
    json: Annotated[bool, typer.Option("--json", help="A JSON object per finding.")] = False,
) -> None:
    """Look at a file and propose a preset for it: kind, prompt, labels, lengths and a rate, and why each."""
    called = name or presets.name_for_data(data)
    target = to if to is not None else presets.own_file(called)
    if str(target) != "-":
        _refuse(target, called, among=to is None, replace=replace)
    drafted: list[Draft] = []

    def take(found: Finding) -> None:
        if isinstance(found, Draft):
            drafted.append(found)

    code = ask(ProposeEngine.of(data, model, changes or ()), "the look at the file", take, as_json=json)
    for draft in drafted:
        load(str(target), draft.text)  # it crossed a pipe
        if not json:
            _tell(draft, quiet=str(target) == "-")
        if str(target) != "-":
            _save(draft.text, target, called, among=to is None, replace=replace)
            word = called if to is None else shlex.quote(str(target))
            talk(f"{target}: written; next: zotui preflight {word}, zotui tune {word}, zotui run {word}")
    raise typer.Exit(code)


def _refuse(target: Path, called: str, *, among: bool, replace: bool) -> None:
    """Before anything is started."""
    if among:
        there = presets.available().get(target.stem)
        if there is not None and not replace:
            raise UserError(f"{there}: there is a preset called {target.stem} already; give --name, or --replace")
        return
    if target.suffix != ".toml":
        raise UserError(f"--to {target}: a preset is a file that ends in .toml")
    if target.exists() and not replace:
        raise UserError(f"--to {target}: is there already; choose another file, or --replace")
    if not target.absolute().parent.is_dir():
        raise UserError(f"--to {target}: there is no folder {target.absolute().parent}")


def _tell(draft: Draft, *, quiet: bool) -> None:
    """The preset on stdout, with all else behind it; or, where somebody reads it as a preset, beside it."""
    print_out(draft.text.rstrip("\n"))
    for number, (what, line) in enumerate(lines(draft)):
        told = f"{what:<8}{line}"
        if quiet:
            talk(told)
        else:
            print_out(f"\n{told}" if not number else told)


def _save(text: str, target: Path, called: str, *, among: bool, replace: bool) -> None:
    if among:
        presets.save(called, text, replace=replace)
        return
    try:
        with target.open("w" if replace else "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"--to {target}: cannot be written ({error.strerror})") from None
