"""A scripted engine in the place of the real one: it speaks the protocol over real pipes, and trains nothing.

`install(folder, body)` makes an executable that takes the place of `sys.executable` for
`EngineProcess`. The body sees `say(event)`, `run` (the run's folder), `resumed` and `events`.
`start` and `zotui` run the command line with it.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

_PREAMBLE = """\
#!{python}
import os, signal, sys, time
sys.path.insert(0, {repository!r})
from pathlib import Path
from engine.protocol import events
from engine.protocol.codec import encode
from engine.runs.directory import RunDir
signals = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: signals.append(number))
run = RunDir(Path(sys.argv[sys.argv.index("engine") + 1]))
resumed = "--resume" in sys.argv
def say(event):
    sys.stdout.buffer.write(encode(event))
    sys.stdout.buffer.flush()
def hello(steps):
    say(events.Hello(run=str(run.path), name=run.name, preset="p", model="m", runtime="vllm",
                       device="cpu", dtype="float32", steps=steps))
def step(number):
    say(events.Step(step=number, loss=0.5, loss_plus=0.6, loss_minus=0.4, projected_grad=1.0, lr=1e-6,
                      tokens=10, seconds=0.01, tokens_per_s=1000.0))
def evaluation(number, **metrics):
    say(events.Eval(step=number, split="validation", metrics=metrics, examples=9, seconds=0.1))
def done(steps, outcome="finished"):
    say(events.Done(outcome=outcome, steps=steps, seconds=65.0, metrics={{}}, run=str(run.path)))
"""

REPOSITORY = Path(__file__).parents[2]

GOOD = """
say(events.Phase(name="loading", detail="weights"))
hello(3)
evaluation(0, loss=0.7, accuracy=0.5)
for number in range(3):
    step(number)
evaluation(2, loss=0.6, accuracy=0.75)
evaluation(3, loss=0.65, accuracy=0.625)
done(3)
"""
"""Three steps, the best in the middle."""

UNTIL_SIGNALLED = """
hello(10)
step(0)
while not signals:
    time.sleep(0.01)
say(events.Log(level="warning", text=f"got {signal.Signals(signals[0]).name}"))
done(1, outcome="stopped")
sys.exit(130)
"""


def install(folder: Path, body: str) -> Path:
    """Write the executable for this body and return it."""
    script = folder / "scripted-engine"
    script.write_text(_PREAMBLE.format(python=sys.executable, repository=str(REPOSITORY)) + textwrap.dedent(body))
    script.chmod(0o755)
    return script


# Runs the command line with another program in the engine's place.
DRIVER = "import sys; sys.executable = sys.argv.pop(1); from zotui.cli import main; main()"


def start(*arguments: str, engine: Path | str = sys.executable, **options: Any) -> subprocess.Popen[str]:
    """`zotui` with these arguments, as a process over pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(engine), *arguments],
        **{
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            **options,
        },
    )


def zotui(*arguments: str, engine: Path | str = sys.executable) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    process = start(*arguments, engine=engine)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err
