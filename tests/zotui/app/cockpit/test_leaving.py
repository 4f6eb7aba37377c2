"""What one is asked who leaves a live run."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.preset.load import load
from engine.protocol.events import Hello, State
from engine.runs.directory import RunDir
from tests.zotui.app.app_helpers import preset_text
from zotui.app.cockpit.leaving import leaving
from zotui.app.state.run_state import RunState

KEEP, STOP = "Keep watching", "Stop and save"
HELLO = Hello(run="/r", name="r", preset="p", model="m", runtime="vllm", device="cpu", dtype="float32", steps=9)


@pytest.mark.parametrize(
    ("when_app_leaves", "state", "answers", "said"),
    [
        ("go-on", State(state="running", step=3), [KEEP, "Leave it running", STOP], "it goes on to its end"),
        ("go-on", State(state="paused", step=3), [KEEP, "Leave it paused", STOP], "it stays paused"),
        ("stop", State(state="running", step=3), [KEEP, "Leave (it stops)", STOP], "saves and stops once no app"),
        (
            "go-on",
            State(state="paused", step=3, reason="not finite"),
            [KEEP, "Leave (it fails)", STOP],
            "cannot go on: not finite. Once no app is attached it is saved, and has failed",
        ),
        (
            "go-on",
            State(state="paused", step=3, reason="the disk is full", waits=True),
            [KEEP, "Leave it running", STOP],
            "it goes on to its end",
        ),
        ("go-on", State(state="stopping", step=3), ["Keep waiting", "Leave it saving"], "it does so without this app"),
    ],
)
def test_what_leaving_means_is_said(
    tmp_path: Path, when_app_leaves: str, state: State, answers: list[str], said: str
) -> None:
    chosen = load("demo", preset_text(), [f"run.when_app_leaves={when_app_leaves}"])
    run = RunState("r")
    run.apply(HELLO)
    run.apply(state)
    question = leaving(run, RunDir.create(chosen, "demo", tmp_path / "r"), killable=False)
    assert list(question._answers.values()) == answers
    assert said in question._text
    assert ("at step 3 of 9" in question._text) == (state.state != "stopping")


def test_only_an_engine_of_ours_can_be_killed(tmp_path: Path) -> None:
    run = RunState("r")
    run.ask("stopping")
    record = RunDir(tmp_path)
    assert "kill" in leaving(run, record, killable=True)._answers
    assert "kill" not in leaving(run, record, killable=False)._answers
