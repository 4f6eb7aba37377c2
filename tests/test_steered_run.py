"""A day at the cockpit, in a real terminal: a run on real vLLM is steered, left, found again, and compared."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import needs_vllm
from tests.pictures import Gallery, comparison_of
from tests.terminal import PATIENCE, Home, Terminal, needs_tmux, step_on

PRESET = """
[model]
path = "{shared}/models/opt-reviews"
dtype = "float32"
device = "cpu"
runtime = "vllm"
[task]
name = "sst2"
train = "{shared}/data/sst2/train.jsonl"
validation = "{shared}/data/sst2/validation.jsonl"
train_examples = 200
validation_examples = 64
[method]
interval = 20
lr = 5e-5
[run]
steps = 20000
batch_size = 4
eval_every = 500
"""


@pytest.fixture
def terminals(tmp_path: Path, home: Path) -> Iterator[Home]:
    opens = Home(tmp_path, home)
    yield opens
    opens.close()


def type_into(terminal: Terminal, text: str) -> None:
    """Type a text: a field of a dialog has all that stands in it selected, so that this takes its place."""
    terminal.resting_cursor()
    terminal.press("-l", text)


def go_down(terminal: Terminal) -> None:
    """To the next field, in another row: letters that come at once would still be for this one."""
    (_, before), deadline = terminal.resting_cursor(), time.monotonic() + PATIENCE
    terminal.press("Down")
    while terminal.resting_cursor()[1] == before:
        assert time.monotonic() < deadline, terminal.screen()


@needs_tmux
@needs_vllm
def test_a_run_is_steered_left_attached_to_compared_and_taken_away(
    terminals: Home, shared: Path, tmp_path: Path
) -> None:
    preset = tmp_path / "reviews.toml"
    preset.write_text(PRESET.format(shared=shared))
    # Launch, pause.
    first = terminals.open("run", str(preset))
    first.wait(r"step [1-9][\d,]*/20,000")
    first.press("Space")
    held = step_on(first.wait("● paused"))
    run = terminals.run()
    # Another learning rate.
    first.press("l")
    first.wait("change settings")
    type_into(first, "2e-5")
    first.wait("changed: lr")
    first.press("Enter")
    first.wait(rf"change +from step {held:,} on +lr 5e-05 → 2e-05")
    # Evaluate.
    first.press("e")
    first.wait(rf"eval +step {held:,} +accuracy")
    # Try a prompt, for a text, for options, and an example.
    first.press("p")
    first.wait("try it")
    type_into(first, "the film is moving . It was")
    first.press("Enter")
    first.wait(r"now +\S[\s\S]*base +\S")
    go_down(first)
    type_into(first, "terrible | great")
    first.press("Enter")
    first.wait(r"terrible +\d+\.\d% [\s\S]*great +\d+\.\d% ")
    first.press("C-e")
    first.wait(r"right")
    first.press("Escape")
    first.wait("● paused")
    first.press("Space")
    first.wait(rf"step (?!{held:,}/)[1-9][\d,]*/20,000")
    # Detach, attach.
    first.press("q")
    first.wait("Leave it running")
    first.press("l")
    first.wait("left with 0")
    left_at = terminals.steps_done()
    second = terminals.open("attach", run.name)
    assert step_on(second.wait(r"● running .* step [1-9][\d,]*/20,000")) >= left_at
    second.wait(rf"change +from step {held:,} on +lr 5e-05 → 2e-05")  # what was before it came
    second.press("s")
    second.wait("● stopped")
    # By mouse: the values at a step, and a closer look at the chart.
    second.wait("stopped and saved at step")  # which moves the chart down
    second.wait(r"step time [^\n]*\n[^\n]*\n")
    _, row = second.find("╭─ held-out")  # the main chart is left of the second one
    second.click(30, row + 5)
    second.wait(r"step [\d,]+: \d")
    second.press("Escape")
    second.wait(r"step [\d,]+: \d", gone=True)
    second.wheel_up(30, row + 5)
    second.wait(r"loss +free")
    # Fork it where it was changed, with another rate still.
    second.press("f")
    second.wait("A new run begins")
    type_into(second, str(held))
    go_down(second)
    type_into(second, "1e-4")
    second.wait("changed: after step, lr")
    second.press("Enter")
    second.wait(rf"● running .* step (?!{held:,}/)[1-9][\d,]*/20,000")
    second.press("s")
    second.wait("● stopped")
    second.press("q")
    second.wait("left with")

    # Compare, and take the comparison away.
    third = terminals.open()
    third.wait("presets")
    third.press("Tab")
    third.wait("enter looks at a run")
    third.press("Space", "Space", "x")
    third.wait(r"method.lr +(5e-05 +0.0001|0.0001 +5e-05|1e-04 +5e-05|5e-05 +1e-04)")
    third.press("y")
    third.wait("take away")
    third.press("v")
    third.wait(r"\.csv")
    third.press("Escape")
    third.wait("escape close", gone=True)
    third.press("q")
    third.wait("enter looks at a run")
    third.press("q")
    third.wait("left with 0")
    (table,) = (terminals.home / "exports").glob("*.csv")
    assert table.read_text().count("\n") > held
    chart = tmp_path / "loss.svg"
    taken = terminals.shell("export", run.name, "--to", str(chart), "--format", "svg")
    assert taken.returncode == 0 and "</svg>" in chart.read_text(), taken.stderr

    gallery = Gallery(tmp_path / "pictures")
    asyncio.run(comparison_of(gallery))
    assert gallery.names() == ["compare"]
    records = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == list(range(len(records)))
    assert {record["lr"] for record in records[:held]} == {5e-5} and {r["lr"] for r in records[held:]} == {2e-5}
    shown = json.loads(terminals.shell("show", run.name, "--json").stdout)
    assert any(re.search("change", json.dumps(entry)) for entry in shown["timeline"])
