"""The product as its user meets it: the real app in a real terminal, on the real engine, to the end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.runs.directory import RunDir
from tests.pictures import Gallery, cockpit_of, runs_of
from tests.terminal import Home, Terminal, needs_tmux, step_on


@pytest.fixture
def terminal(tmp_path: Path, home: Path) -> Iterator[Terminal]:
    opened = Terminal(
        tmp_path / "tmux",
        f"{sys.executable} -m zotui",
        {"ZOTUI_HOME": str(home), "COLORTERM": "truecolor", "LANG": "C.UTF-8"},
    )
    yield opened
    opened.close()


@needs_tmux
def test_from_the_start_screen_to_a_finished_demo(terminal: Terminal, home: Path, tmp_path: Path) -> None:
    terminal.wait("presets", 30)
    terminal.wait("demo", 30)
    terminal.press("Enter")
    terminal.wait("preflight: demo", 30)
    terminal.press("Enter")  # without waiting for what it finds
    terminal.wait("space", 30)  # the cockpit's keys
    # A pause during start-up shows at once, and holds before the first step.
    terminal.wait("preparing", 30)
    terminal.press("Space")
    terminal.wait("● paused", 30)
    terminal.wait("packed scoring agrees", 240)
    terminal.wait(r"● paused .* step 0/", 30)
    terminal.press("e")
    terminal.wait(r"eval +step 0 +accuracy", 60)
    terminal.press("Space")
    terminal.wait(r"● running", 30)
    terminal.wait(r"step [1-9]\d*/", 60)
    for word in ("loss", "tok/s", "KV", "GPU"):
        terminal.wait(word, 30)
    # Pause in the middle: no step is taken, evaluation and checkpoint still work.
    terminal.press("Space")
    held = step_on(terminal.wait(r"● paused", 30))
    terminal.press("e")
    terminal.wait(rf"eval +step {held:,} +accuracy", 60)
    terminal.press("c")
    terminal.wait(rf"checkpoint of step {held:,} saved", 60)
    run = next((home / "runs").iterdir())
    assert (run / f"checkpoints/step-{held:08d}/weights.safetensors").is_file()
    assert step_on(terminal.screen()) == held
    # q asks, because the run is live, and staying is one key.
    terminal.press("q")
    terminal.wait("[Kk]eep watching", 30)
    terminal.press("Enter")
    terminal.wait("[Kk]eep watching", 30, gone=True)
    terminal.press("Space")
    terminal.wait(r"step [1-9]\d\d/", 180)
    terminal.press("Space")
    terminal.wait("● paused", 30)
    gallery = Gallery(tmp_path / "pictures")
    asyncio.run(cockpit_of(RunDir(run), gallery))
    terminal.wait(r"● finished", 180)
    evaluations = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
    before, after = (evaluations[i]["metrics"]["accuracy"] for i in (0, -1))
    assert before <= 0.65
    assert after >= 0.90
    terminal.wait(re.escape(f"{after:.3f}"), 30)
    # Leaving gives the terminal back; the run is listed, and its model can be taken away.
    terminal.press("q")
    terminal.wait(r"enter looks at a run", 30)
    terminal.press("q")
    terminal.wait("left with 0", 30)
    environment = {**os.environ, "ZOTUI_HOME": str(home)}
    zotui = [sys.executable, "-m", "zotui"]
    listed = subprocess.run([*zotui, "list", "--json"], capture_output=True, text=True, env=environment, check=True)
    summary = json.loads(listed.stdout)
    assert (summary["name"], summary["standing"]) == (run.name, "finished")
    asyncio.run(runs_of(gallery))
    assert gallery.names() == ["cockpit", "start", "try-it"]
    target = tmp_path / "tuned"
    subprocess.run([*zotui, "export", run.name, "--to", str(target), "--format", "merged"], env=environment, check=True)
    assert (target / "model.safetensors").is_file()


@pytest.fixture
def preset(tmp_path: Path, shared: Path) -> Path:
    """A run of many short steps."""
    path = tmp_path / "tiny.toml"
    path.write_text(
        f"""
        [model]
        path = "{shared}/models/tiny-opt"
        device = "cpu"
        runtime = "training-loop"
        [task]
        name = "sst2"
        train = "{shared}/data/sst2/train.jsonl"
        validation = "{shared}/data/sst2/validation.jsonl"
        train_examples = 50
        validation_examples = 50
        [run]
        steps = 3000
        batch_size = 2
        """
    )
    return path


@needs_tmux
def test_an_engine_that_is_killed_leaves_the_app_up_and_can_be_resumed(
    tmp_path: Path, home: Path, preset: Path
) -> None:
    terminal = Terminal(
        tmp_path / "tmux", f"{sys.executable} -m zotui run {preset}", {"ZOTUI_HOME": str(home), "LANG": "C.UTF-8"}
    )
    try:
        terminal.wait(r"step [1-9]\d*/3,000", 90)
        run = next((home / "runs").iterdir())
        os.kill(json.loads((run / "run.json").read_text())["pid"], signal.SIGKILL)
        screen = terminal.wait(r"resume", 20)
        terminal.wait("engine loading model", 30)  # the end of the engine's log
        assert "● running" not in screen
        died_at = len((run / "journal.jsonl").read_text().splitlines())
        terminal.press("r")
        terminal.wait(r"● running", 90)
        assert len((run / "journal.jsonl").read_text().splitlines()) >= died_at
        terminal.press("s")
        terminal.wait(r"● stopped", 30)
        terminal.press("q")
        terminal.wait("left with 130", 30)
    finally:
        terminal.close()
    steps = [json.loads(line)["step"] for line in (run / "journal.jsonl").read_text().splitlines()]
    assert steps == list(range(len(steps)))
    assert len(steps) > died_at


@pytest.fixture
def terminals(tmp_path: Path, home: Path) -> Iterator[Home]:
    opens = Home(tmp_path, home)
    yield opens
    opens.close()


@needs_tmux
def test_a_run_is_left_attached_to_again_and_stopped_from_another_shell(terminals: Home, preset: Path) -> None:
    first = terminals.open("run", str(preset), "--set", "run.steps=50000")
    first.wait(r"step [1-9]\d*/50,000", 90)
    name = terminals.run().name
    first.press("q")
    first.wait("Leave it running", 30)
    first.press("l")
    screen = first.wait("left with 0", 30)
    assert f"{name} goes on: zotui attach {name}, zotui stop {name}" in screen
    left_at = terminals.steps_done()
    second = terminals.open("attach", name)
    second.wait(r"^ zotui .*attached", 60)
    assert step_on(second.wait(r"● running .* step [1-9][\d,]*/50,000", 30)) >= left_at
    second.wait(r"eval +step 0 +accuracy", 30)  # what was before it came
    second.press("Space")
    held = step_on(second.wait("● paused", 30))
    refused = terminals.shell("resume", name)
    assert (refused.returncode, refused.stderr) == (
        2,
        f"zotui: {name}: is live; `zotui attach {name}` steers it where it is\n",
    )
    stopped = terminals.shell("stop", name)
    assert stopped.returncode == 0, stopped.stderr
    assert f"{name}: stopped after {held:,} of 50,000 steps; `zotui resume {name}` goes on with it" in stopped.stderr
    second.wait(r"● stopped", 30)
    second.press("q")
    second.wait("left with 130", 30)
    assert terminals.steps_done() == held
    assert (terminals.run() / f"checkpoints/step-{held:08d}/weights.safetensors").is_file()


@needs_tmux
def test_the_engine_outlives_an_app_whose_terminal_is_closed(terminals: Home, preset: Path) -> None:
    first = terminals.open("run", str(preset), "--set", "run.steps=50000")
    first.wait(r"step [1-9]\d*/50,000", 90)
    app = first.process
    first.close()
    psutil.wait_procs([app], 30)
    assert not app.is_running() or app.status() == psutil.STATUS_ZOMBIE
    gone_at = terminals.steps_done()
    second = terminals.open("attach", terminals.run().name)
    second.wait("attached", 60)
    second.wait(rf"step (?!{gone_at:,}/)[1-9][\d,]*/50,000", 30)
    assert step_on(second.wait(r"● running", 30)) > gone_at
    second.press("s")
    second.wait(r"● stopped", 30)
    second.press("q")
    second.wait("left with 130", 30)
    assert [json.loads(line)["step"] for line in (terminals.run() / "journal.jsonl").open()] == list(
        range(terminals.steps_done())
    )
