"""The engine itself on the simulated card: a short run of the demo to its end, and all that a real card is asked."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from engine.preset.load import load
from engine.runs.directory import RunDir
from tests.rehearsal.wheels import ROOT

STEPS = 13
_SETTINGS = (
    "method.interval=5",
    "run.steps=13",
    "run.batch_size=4",
    "run.eval_every=6",
    "run.checkpoint_every=10",
    "task.validation_examples=16",
)


def run(
    python: Path, environment: dict[str, str], folder: Path, home: Path, dtype: str, *, graphs: bool
) -> dict[str, Any]:
    """Take it, in the new directory `folder`; tells the exit code, the steps on record and the log's last lines."""
    settings = (*_SETTINGS, f"model.dtype={dtype}", f"model.cuda_graphs={'auto' if graphs else 'off'}")
    preset = load("demo", (ROOT / "presets/demo.toml").read_text(), settings)
    made = RunDir.create(preset, "demo", folder)
    paths = [str(Path(__file__).with_name("site")), environment["PYTHONPATH"]]
    with made.log_file.open("ab") as log:
        done = subprocess.run(
            [str(python), "-P", "-m", "engine", str(made.path)],
            env={**environment, "PYTHONPATH": os.pathsep.join(paths), "ZOTUI_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=ROOT,
        )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    told = [event["text"] for event in events if event["type"] in ("log", "error")]
    return {
        "code": done.returncode,
        "steps": made.steps_done(),
        "device": next((event["device"] for event in events if event["type"] == "hello"), ""),
        "self_check": next((text for text in told if text.startswith("packed scoring")), "no self-check"),
        "outcome": next((event["outcome"] for event in events if event["type"] == "done"), ""),
        "told": told,
        "log": made.log_tail(12),
    }


def problems(found: dict[str, Any]) -> list[str]:
    """All that is wrong with it, a line each."""
    wrong = []
    if found["code"] != 0 or found["outcome"] != "finished":
        last = [line for line in found["log"] if line.strip()][-1:]
        wrong.append(f"the engine ended with {found['code']} ({found['outcome']}): {[*found['told'], *last][-1:]}")
    if found["steps"] != STEPS:
        wrong.append(f"{found['steps']} of {STEPS} steps are in the journal")
    if not found["device"].startswith("cuda:0"):
        wrong.append(f"it ran on {found['device'] or 'nothing'}")
    if "agrees" not in found["self_check"]:
        wrong.append(f"the self-check says: {found['self_check']}")
    return wrong


def fifteen_minutes(python: Path, environment: dict[str, str], folder: Path, home: Path) -> dict[str, Any]:
    """`python -m engine.benchmark.on_gpu` at the smallest sizes; tells the exit code, and what it says of each part."""
    paths = [str(Path(__file__).with_name("site")), environment["PYTHONPATH"]]
    done = subprocess.run(
        [str(python), "-P", "-m", "engine.benchmark.on_gpu", "--to", str(folder), "--small", "--minutes", "120"],
        env={**environment, "PYTHONPATH": os.pathsep.join(paths), "ZOTUI_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )
    return {"code": done.returncode, "told": done.stdout.splitlines()}


def demo_home(folder: Path) -> Path:
    """The ZOTUI_HOME of these runs."""
    return folder / "home"


def make_demo(folder: Path) -> None:
    """Make the demo's model and data by the CPU, which takes some seconds, before the simulated card would."""
    from engine.environment import prepare
    from engine.tasks.demo import ensure_demo

    prepare()
    ensure_demo(demo_home(folder) / "cache", lambda text, fraction: None)
