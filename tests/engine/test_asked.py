"""A process that answers about a preset: what goes wrong is among its findings, and it ends with whoever asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from engine.protocol import findings
from engine.protocol.events import Error, Log

ASKED = """
import signal, sys
from pathlib import Path
from engine.asked import answer
from engine.errors import RunFailed, UserError
from engine.protocol.events import Log
from engine.stdio import leave
def act(read, say):
    held = Path("held")
    held.touch()
    try:
        say(Log(level="info", text=read().model.path))
        {body}
    finally:
        held.unlink()
leave(answer("engine.asked", "-", act, leashed={leashed}, tidies={tidies}))
"""


def asked(folder: Path, body: str, *, leashed: bool = False, tidies: bool = False) -> subprocess.Popen[bytes]:
    script = ASKED.format(body=body, leashed=leashed, tidies=tidies)
    repository = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {repository!r}){script}"], cwd=folder,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def given(text: str) -> bytes:
    return json.dumps(text).encode() + b"\n"


VALID = given('[model]\npath = "somewhere"\n[task]\nname = "sst2"\n')


@pytest.mark.parametrize(
    ("wrong", "kind", "code", "said"),
    [
        ("raise UserError('no such column')", "usage", EXIT_USAGE, "no such column"),
        ("raise RunFailed('all diverged')", "failure", EXIT_FAILED, "all diverged"),
        ("raise ValueError('odd')", "start", EXIT_USAGE, "(ValueError: odd); `python -m engine.asked PRESET.toml`"),
    ],
)
def test_what_goes_wrong_is_a_finding(tmp_path: Path, wrong: str, kind: str, code: int, said: str) -> None:
    process = asked(tmp_path, wrong)
    out, errors = process.communicate(VALID, 240)
    last = findings.decode(out.splitlines()[-1])
    assert process.returncode == code
    assert isinstance(last, Error) and last.kind == kind and said in last.text
    assert (b"Traceback" in errors) == (kind == "start")


def test_so_is_a_preset_that_is_not_valid(tmp_path: Path) -> None:
    process = asked(tmp_path, "pass")
    out, _ = process.communicate(given("[model]\npth = 1"), 240)
    only = findings.decode(out.strip())
    assert process.returncode == EXIT_USAGE
    assert isinstance(only, Error) and only.kind == "usage" and "pth" in only.text


@pytest.mark.parametrize("tidies", [True, False])
def test_a_leashed_one_ends_with_its_standard_input(tmp_path: Path, tidies: bool) -> None:
    process = asked(tmp_path, "signal.pause()", leashed=True, tidies=tidies)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(VALID)
    process.stdin.flush()
    assert findings.decode(process.stdout.readline()) == Log(level="info", text="somewhere")
    process.stdin.close()
    assert process.wait(240) == EXIT_INTERRUPTED
    assert (tmp_path / "held").exists() != tidies, "it is interrupted where there is something to tidy up"
