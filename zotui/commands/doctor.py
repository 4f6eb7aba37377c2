"""`zotui doctor`: what this terminal can do, and what the engine finds on this machine."""

from __future__ import annotations

import json
import locale
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from engine.errors import UserError
from zotui.home import config

_MARKS = {"ok": "ok", "warning": "!", "wrong": "WRONG"}


def run_doctor(*, as_json: bool) -> int:
    """Print the findings as they come; returns the exit code: 1 if a run could not start."""
    for finding in (*_terminal(), _configuration()):
        _print(finding, as_json)
    command = [sys.executable, "-P", "-m", "engine.doctor"]
    # The libraries' own talk says nothing that a finding does not.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        for line in process.stdout:
            _print(json.loads(line), as_json)
    code = process.returncode
    if code not in (0, 1):
        _print(_finding("engine", "wrong", f"ended with code {code}: {' '.join(command)} shows why"), as_json)
        return 1
    return code


def _terminal() -> Iterator[dict[str, Any]]:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield _finding("terminal", "ok", "none here: runs show plain progress")
        return
    columns, lines = shutil.get_terminal_size()
    encoding = locale.getencoding()  # the terminal's, whatever Python takes for files
    told = f"{os.environ.get('TERM', 'unknown')}, {columns}x{lines}, {encoding}"
    if encoding.lower().replace("-", "") != "utf8":
        yield _finding("terminal", "warning", told, "set LANG to a UTF-8 locale, such as C.UTF-8")
    elif columns < 80 or lines < 24:
        yield _finding("terminal", "warning", told, "make it 80x24 or larger")
    else:
        yield _finding("terminal", "ok", told)


def _configuration() -> dict[str, Any]:
    if not config.file().exists():
        return _finding("config.toml", "ok", "none: everything is as it comes")
    from zotui.app import keys  # Textual: only where there may be keys

    try:
        keys.checked(config.read().keys)
    except UserError as error:
        return _finding("config.toml", "warning", str(error), f"mend {config.file()}; the app says what it leaves out")
    return _finding("config.toml", "ok", str(config.file()))


def _finding(name: str, state: str, found: str, remedy: str = "") -> dict[str, Any]:
    return {"name": name, "state": state, "found": found, "remedy": remedy}


def _print(finding: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(finding), flush=True)
        return
    print(f"{_MARKS[finding['state']]:<6} {finding['name']:<13} {finding['found']}", flush=True)
    if finding["remedy"]:
        print(f"{'':<20} {finding['remedy']}", flush=True)


def doctor(json: Annotated[bool, typer.Option("--json", help="A JSON object per finding.")] = False) -> None:
    """Say what is installed here, what is wrong, and how to mend it; exit code 1 if no run could start."""
    raise typer.Exit(run_doctor(as_json=json))
