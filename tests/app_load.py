"""What the app costs while it watches: `python -m tests.app_load` prints it.

A scripted engine takes 50 steps a second, and `zotui resume` watches it in a terminal of each size; then a finished run
of 100,000 steps is opened. Needs `tmux`; takes about three minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
SIZES = [(80, 24), (120, 40), (200, 60)]
SECONDS = 30.0
SETTLING = 10.0  # seconds: imports, and the first steps, which move the curve most
LONG = 100_000

_WATCH = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
from app_helpers import preset_text
from engine.preset import load
from engine.rundir import RunDir
from zotui.launch import EngineProcess
EngineProcess.COMMAND = (sys.executable, {engine!r})
run = RunDir.create(load("demo", preset_text(steps=100_000)), "demo")
from zotui.app import run_app
run_app(EngineProcess(run))
"""


def share(size: tuple[int, int], home: Path, seconds: float = SECONDS, steps_per_s: int = 50) -> float:
    """The app's use of one core (1.0 is all of it) while it watches, after a settling time."""
    tests = ROOT / "tests/zotui/app"
    script, engine = home / "watch.py", str(tests / "app_scripted_engine.py")
    script.write_text(_WATCH.format(root=str(ROOT), tests=str(tests), engine=engine))
    told = {"steps": LONG, "delay": 1 / steps_per_s, "eval_every": 500, "gpu": True, "noise": 1e-4}
    given = {"ZOTUI_HOME": str(home / "zotui"), "SCRIPTED_ENGINE": json.dumps(told), "TERM": "xterm-256color"}
    tmux = ["tmux", "-S", str(home / "tmux"), "-f", "/dev/null"]
    new = ["new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), f"exec {sys.executable} {script}"]
    try:
        subprocess.run([*tmux, *new], env={**os.environ, **given}, check=True)
        asked = subprocess.run([*tmux, "list-panes", "-F", "#{pane_pid}"], capture_output=True, text=True, check=True)
        app = psutil.Process(int(asked.stdout))
        time.sleep(SETTLING)
        begun, before = time.monotonic(), app.cpu_times()
        time.sleep(seconds)
        after, took = app.cpu_times(), time.monotonic() - begun
        return (after.user + after.system - before.user - before.system) / took
    finally:
        subprocess.run([*tmux, "kill-server"], check=False, capture_output=True)


async def opening(home: Path, steps: int = LONG) -> float:
    """Processor seconds of this process from opening a finished run until its whole curve is drawn."""
    os.environ["ZOTUI_HOME"] = str(home / "zotui")
    from engine.journal import encode_line
    from engine.preset import load
    from engine.rundir import RunDir
    from zotui.app.application import ZotuiApp
    from zotui.app.feed import RecordsFeed
    from zotui.app.widgets.series_chart import SeriesChart

    preset = f'[model]\npath = "builtin:demo"\n[task]\nname = "sst2"\n[run]\nsteps = {steps}\n'
    run = RunDir.create(load("demo", preset), "demo")
    with run.journal_file.open("wb") as journal:
        for step in range(steps):
            losses = {"loss_plus": 0.5 + step % 7 / 70, "loss_minus": 0.5, "projected_grad": 1.0, "lr": 1e-6}
            journal.write(encode_line({"step": step, **losses, "drew": "cpu", "tokens": 512, "seconds": 0.02}))
    run.update_info(state="finished")
    app = ZotuiApp(RecordsFeed(run))
    begun = time.process_time()
    async with app.run_test(size=(120, 40)):
        while True:
            await asyncio.sleep(0.02)
            cockpit = app.cockpit
            charts = list(cockpit.query(SeriesChart)) if cockpit is not None else []
            if cockpit is not None and cockpit.run.outcome is not None and charts and charts[0].plot.ranges[1] > steps:
                return time.process_time() - begun


def main() -> None:
    """Measure, and print a table."""
    if shutil.which("tmux") is None:
        raise SystemExit("tmux is not installed")
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            home = Path(folder) / f"{size[0]}"
            home.mkdir()
            print(f"{size[0]}x{size[1]}: {share(size, home):.1%} of a core at 50 steps a second", flush=True)
        print(f"{LONG:,} steps opened in {asyncio.run(opening(Path(folder))):.2f} s of processor time, start included")


if __name__ == "__main__":
    main()
