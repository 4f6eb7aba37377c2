"""The product as its user meets it: the real app in a real terminal, on the real engine, to the end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from safetensors.torch import load_file

from engine.runs.directory import RunDir
from tests import starting
from tests.engine.states import saved
from tests.pictures import Gallery, cockpit_of, runs_of
from tests.terminal import Home, Terminal, needs_tmux, step_on


@pytest.fixture
def demo_is_made(home: Path, made_demo: Path) -> Iterator[Callable[[], None]]:
    """Another process is at making the demo, until this is called: then it is there."""
    cache = home / "cache"
    cache.mkdir(parents=True)
    (made,) = (made_demo / "cache").glob("demo-*")
    with FileLock(cache / "demo.lock") as lock:

        def end() -> None:
            shutil.copytree(made, cache / "aside")
            (cache / "aside").rename(cache / made.name)
            lock.release()

        yield end


@pytest.fixture
def terminal(tmp_path: Path, home: Path, demo_is_made: object) -> Iterator[Terminal]:
    opened = Terminal(
        tmp_path / "tmux",
        f"{sys.executable} -m zotui",
        {"ZOTUI_HOME": str(home), "COLORTERM": "truecolor", "LANG": "C.UTF-8"},
    )
    yield opened
    opened.close()


@needs_tmux
def test_from_the_start_screen_to_a_finished_demo(
    terminal: Terminal, demo_is_made: Callable[[], None], home: Path, tmp_path: Path
) -> None:
    terminal.wait("presets")
    terminal.wait("demo")
    terminal.press("Enter")
    terminal.wait("preflight: demo")
    terminal.press("Enter")  # without waiting for what it finds
    terminal.wait("space")  # the cockpit's keys
    # A pause during start-up shows at once, and holds before the first step.
    terminal.wait("preparing")
    terminal.press("Space")
    terminal.wait("● paused")
    demo_is_made()
    terminal.wait("packed scoring agrees")
    terminal.wait(r"● paused .* step 0/")
    terminal.press("e")
    terminal.wait(r"eval +step 0 +accuracy")
    terminal.press("Space")
    terminal.wait(r"● running")
    terminal.wait(r"step [1-9]\d*/")
    for word in ("loss", "tok/s", "KV", "GPU"):
        terminal.wait(word)
    # Pause in the middle: no step is taken, evaluation and checkpoint still work.
    terminal.press("Space")
    held = step_on(terminal.wait(r"● paused"))
    terminal.press("e")
    terminal.wait(rf"eval +step {held:,} +accuracy")
    terminal.press("c")
    terminal.wait(rf"checkpoint of step {held:,} saved")
    run = next((home / "runs").iterdir())
    assert saved(run, held).is_file()
    assert step_on(terminal.screen()) == held
    # q asks, because the run is live, and staying is one key.
    terminal.press("q")
    terminal.wait("[Kk]eep watching")
    terminal.press("Enter")
    terminal.wait("[Kk]eep watching", gone=True)
    terminal.press("Space")
    terminal.wait(r"step [1-9]\d\d/")
    terminal.press("Space")
    terminal.wait("● paused")
    gallery = Gallery(tmp_path / "pictures")
    asyncio.run(cockpit_of(RunDir(run), gallery))
    terminal.wait(r"● finished")
    evaluations = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
    before, after = (evaluations[i]["metrics"]["accuracy"] for i in (0, -1))
    assert before <= 0.65
    assert after >= 0.90
    terminal.wait(re.escape(f"{after:.3f}"))
    # Leaving gives the terminal back; the run is listed, and its model can be taken away.
    terminal.press("q")
    terminal.wait(r"enter looks at a run")
    terminal.press("q")
    terminal.wait("left with 0")
    listed = starting.run(["-m", "zotui", "list", "--json"], check=True)
    summary = json.loads(listed.stdout)
    assert (summary["name"], summary["standing"]) == (run.name, "finished")
    asyncio.run(runs_of(gallery))
    assert gallery.names() == ["cockpit", "start", "try-it"]
    target = tmp_path / "tuned"
    starting.run(["-m", "zotui", "export", run.name, "--to", str(target), "--format", "merged"], check=True)
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
        steps = 50000
        batch_size = 2
        """
    )
    return path


@pytest.fixture
def terminals(tmp_path: Path, home: Path) -> Iterator[Home]:
    opens = Home(tmp_path, home)
    yield opens
    opens.close()


@needs_tmux
def test_an_engine_that_is_killed_leaves_the_app_up_and_can_be_resumed(terminals: Home, preset: Path) -> None:
    terminal = terminals.open("run", str(preset))
    terminal.wait(r"step [1-9]\d*/50,000")
    run = terminals.run()
    os.kill(json.loads((run / "run.json").read_text())["pid"], signal.SIGKILL)
    screen = terminal.wait(r"resume")
    terminal.wait("engine loading model")  # the end of the engine's log
    assert "● running" not in screen
    died_at = terminals.steps_done()
    terminal.press("r")
    terminal.wait(r"● running")
    assert terminals.steps_done() >= died_at
    terminal.press("s")
    terminal.wait(r"● stopped")
    terminal.press("q")
    terminal.wait("left with 130")
    steps = [json.loads(line)["step"] for line in (run / "journal.jsonl").read_text().splitlines()]
    assert steps == list(range(len(steps)))
    assert len(steps) > died_at


@needs_tmux
def test_a_run_is_left_attached_to_again_and_stopped_from_another_shell(terminals: Home, preset: Path) -> None:
    first = terminals.open("run", str(preset))
    first.wait(r"step [1-9]\d*/50,000")
    name = terminals.run().name
    first.press("q")
    first.wait("Leave it running")
    first.press("l")
    screen = first.wait("left with 0")
    assert f"{name} goes on: zotui attach {name}, zotui stop {name}" in screen
    left_at = terminals.steps_done()
    second = terminals.open("attach", name)
    second.wait(r"^ zotui .*attached")
    assert step_on(second.wait(r"● running .* step [1-9][\d,]*/50,000")) >= left_at
    second.wait(r"eval +step 0 +accuracy")  # what was before it came
    second.press("Space")
    held = step_on(second.wait("● paused"))
    refused = terminals.shell("resume", name)
    assert (refused.returncode, refused.stderr) == (
        2,
        f"zotui: {name}: is live; `zotui attach {name}` steers it where it is\n",
    )
    stopped = terminals.shell("stop", name)
    assert stopped.returncode == 0, stopped.stderr
    assert f"{name}: stopped after {held:,} of 50,000 steps; `zotui resume {name}` goes on with it" in stopped.stderr
    second.wait(r"● stopped")
    # Its weights answer, though no engine trains any more.
    second.press("p")
    second.wait("try it")
    second.press("T", "h", "e", "Enter")
    second.wait(rf"step {held:,} +The")
    second.press("Escape")
    second.wait("enter asks", gone=True)
    second.press("q")
    second.wait("left with 130")
    assert terminals.steps_done() == held
    assert (terminals.run() / f"checkpoints/step-{held:08d}/weights.safetensors").is_file()


@needs_tmux
def test_the_engine_outlives_an_app_whose_terminal_is_closed(terminals: Home, preset: Path) -> None:
    first = terminals.open("run", str(preset))
    first.wait(r"step [1-9]\d*/50,000")
    app = first.process
    first.close()
    psutil.wait_procs([app], 240)
    assert not app.is_running() or app.status() == psutil.STATUS_ZOMBIE
    gone_at = terminals.steps_done()
    second = terminals.open("attach", terminals.run().name)
    second.wait("attached")
    second.wait(rf"step (?!{gone_at:,}/)[1-9][\d,]*/50,000")
    assert step_on(second.wait(r"● running")) > gone_at
    second.press("s")
    second.wait(r"● stopped")
    second.press("q")
    second.wait("left with 130")
    assert [json.loads(line)["step"] for line in (terminals.run() / "journal.jsonl").open()] == list(
        range(terminals.steps_done())
    )


@needs_tmux
def test_from_a_file_of_ones_own_to_an_adapter(terminals: Home, tmp_path: Path, shared: Path) -> None:
    """By keys alone: the file is found, its preset proposed, saved and run, and what was learned is taken away."""
    films = (shared / "data/sst2/train.jsonl").read_text(encoding="utf-8").splitlines()
    films = [film for film in films if len(film) < 60][:40]
    (tmp_path / "films.jsonl").write_text("".join(f"{line}\n" for line in films), encoding="utf-8")
    terminal = terminals.open()
    terminal.wait("new from my file")
    terminal.press("f")
    terminal.wait("which file")
    terminal.type(str(tmp_path / "fil"))
    terminal.wait(r"films\.jsonl")  # that there is such a file
    for key in ("Tab", "Tab", "C-u"):  # completes it; the model's field; which is emptied
        terminal.press(key)
        terminal.resting_cursor()
    terminal.type(str(shared / "models/tiny-opt"))
    terminal.press("Enter")
    terminal.wait(r"\d+ rows to train on")
    terminal.press("C-r")
    terminal.wait("preflight: films")
    terminal.wait("Launch")
    terminal.press("Enter")
    terminal.wait(r"● running")
    terminal.wait(r"step [1-9]\d+/")  # an interval of ten is over
    terminal.press("s")
    terminal.wait(r"● stopped")
    terminal.press("y")
    terminal.wait("take away")
    terminal.press("a")
    terminal.wait("Written:")
    (adapter,) = (terminals.run() / "exports").iterdir()
    learned = load_file(adapter / "adapter_model.safetensors")
    assert any(tensor.any() for name, tensor in learned.items() if "lora_B" in name)
    assert json.loads((adapter / "adapter_config.json").read_text())["r"] >= 2
    terminal.press("Escape")
    terminal.wait("take away", gone=True)
    terminal.press("q")
    terminal.wait("enter looks at a run")
