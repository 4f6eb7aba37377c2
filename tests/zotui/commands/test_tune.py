"""`zotui tune`, with a scripted engine in the place of the one that tries rates."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.zotui.scripted_engine import REPOSITORY
from zotui.cli import app
from zotui.engines.tuning import TuneEngine

FINDS = f"""
import json, sys
sys.path.insert(0, {str(REPOSITORY)!r})
from engine.preset.load import load
from engine.protocol import findings
from engine.protocol.codec import encode
from engine.protocol.events import Error, Log
wanted = load("p", json.loads(sys.stdin.readline()))
def say(found):
    sys.stdout.buffer.write(encode(found))
    sys.stdout.buffer.flush()
def trial(number, lr, standing, steps=50, validation=0.5, why=""):
    say(findings.Trial(number=number, lr=lr, eps=1e-3, steps=steps, standing=standing, loss=0.6, validation=validation,
                       accuracy=0.75, tokens=1000, seconds=2.5, why=why))
"""
LEARNS = """
say(Log(level="warning", text="watch out"))
say(findings.Scale(eps=1e-3, difference=0.005, noise=1e-7, error=0.0123))
say(findings.Guess(lr=2e-4, eps=1e-3, noise=1e-7, gradient=2.5, slope=1.0, slope_error=0.5, curvature=300.0,
                   curvature_error=50.0))
trial(1, wanted.method.lr, "evaluated")
trial(2, 1e-2, "diverged", 17, None, "its training loss has grown to 9 by step 17")
trial(1, wanted.method.lr, "behind")
trial(3, 2e-4, "evaluated", 200, 0.4)
trial(3, 2e-4, "chosen", 200, 0.4)
say(findings.Proposal(lr=2e-4, eps=1e-3, before=0.66, validation=0.4, steps=200, trials=3, seconds=65.0))
"""
PRESET = """[model]
path = "m"
[task]
name = "sst2"
[method]
lr = 5e-5  # a guess
"""


@pytest.fixture(autouse=True)
def _home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.toml").write_text(PRESET)


def scripted(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    Path("engine.py").write_text(FINDS + body)
    monkeypatch.setattr(TuneEngine, "COMMAND", (sys.executable, "engine.py"))


def test_trials_are_a_table_and_the_proposal_a_line_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, LEARNS)
    done = CliRunner().invoke(app, ["tune", "p.toml", "--set", "run.steps=50"])
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "lr      eps    steps  training  validation  accuracy  tokens  seconds",
        "5e-05   0.001  50     0.6000    0.5000      0.750     1k      2.5      behind",
        "0.0002  0.001  200    0.6000    0.4000      0.750     1k      2.5      <- proposed",
        "0.01    0.001  17     0.6000    –           0.750     1k      2.5      diverged",
        "",
        "lr 0.0002, eps 0.001: validation loss 0.6600 to 0.4000 in 200 steps (3 trials, 1:05)",
        "zotui run p.toml --set run.steps=50 --set method.lr=0.0002 --set method.eps=0.001",
    ]
    assert "warning: watch out" in done.stderr
    assert "a gradient is wrong by 1.2%" in done.stderr and "slope 1 ± 0.5, curvature 300 ± 50" in done.stderr
    assert "trial 2, lr 0.01, eps 0.001, step 17, its training loss has grown to 9 by step 17" in done.stderr


def test_the_preset_is_written_with_its_comments_and_what_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, LEARNS)
    done = CliRunner().invoke(app, ["tune", "p.toml", "--set", "method.rank=4", "--to", "found.toml"])
    assert done.exit_code == 0 and "found.toml: written; zotui run found.toml" in done.stderr
    text = Path("found.toml").read_text()
    assert "# a guess" in text
    assert tomllib.loads(text)["method"] == {"lr": 2e-4, "eps": 1e-3, "rank": 4}
    again = CliRunner().invoke(app, ["tune", "p.toml", "--to", "found.toml"])
    assert again.exit_code == 2 and again.stderr == "zotui: --to found.toml: is there already; choose another file\n"


def test_json_is_the_findings_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, LEARNS)
    done = CliRunner().invoke(app, ["tune", "p.toml", "--json"])
    kinds = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert done.exit_code == 0 and kinds == ["log", "scale", "guess", *["trial"] * 5, "proposal"]


@pytest.mark.parametrize(("kind", "code"), [("usage", 2), ("failure", 1)])
def test_what_the_engine_refuses_is_a_line_and_its_code(monkeypatch: pytest.MonkeyPatch, kind: str, code: int) -> None:
    scripted(monkeypatch, f'say(Error(kind="{kind}", text="no such thing")); sys.exit({code})')
    done = CliRunner().invoke(app, ["tune", "p.toml", "--to", "found.toml"])
    assert (done.exit_code, done.stdout, done.stderr) == (code, "", "zotui: no such thing\n")
    assert not Path("found.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "nope: unknown preset"),
        (["p.toml", "--set", "method.lr=nan"], "p.toml: method.lr: "),
        (["p.toml", "--to", "found.txt"], "--to found.txt: a preset is a file that ends in .toml"),
        (["p.toml", "--to", "none/found.toml"], "--to none/found.toml: there is no folder "),
    ],
)
def test_bad_input_starts_nothing(monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str) -> None:
    scripted(monkeypatch, "raise SystemExit(9)")
    done = CliRunner().invoke(app, ["tune", *arguments])
    assert done.exit_code == 2 and done.stderr.startswith(f"zotui: {said}") and done.stderr.count("\n") == 1
