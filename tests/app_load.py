"""What the app costs while it watches: `python -m tests.app_load` prints it.

A scripted engine takes 50 steps a second, and the app watches it in a terminal of each size; then a finished run of
100,000 steps is opened from the list. Needs `tmux`; takes about three minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from engine.preset.load import load
from engine.runs.directory import RunDir
from engine.runs.journal import encode_line
from zotui.home import config

ROOT = Path(__file__).parents[1]
SIZES = [(80, 24), (120, 40), (200, 60)]
SECONDS = 30.0
SETTLING = 10.0  # seconds: imports, and the first steps, which move the curve most
LONG = 100_000

_WATCH = """
import sys
sys.path.insert(0, {root!r})
from tests.zotui.app.app_helpers import preset_text
from engine.preset.load import load
from engine.runs.directory import RunDir
from zotui.engines.launched import EngineProcess
EngineProcess.COMMAND = (sys.executable, {engine!r})
run = RunDir.create(load("demo", preset_text(steps=100_000)), "demo")
from zotui.app import run_app
run_app(EngineProcess(run))
"""


def share(size: tuple[int, int], home: Path, seconds: float = SECONDS, steps_per_s: int = 50) -> float:
    """The app's use of one core (1.0 is all of it) while it watches, after a settling time."""
    tests = ROOT / "tests/zotui/app"
    script, engine = home / "watch.py", str(tests / "app_scripted_engine.py")
    script.write_text(_WATCH.format(root=str(ROOT), engine=engine))
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
        for engine_process in app.children():  # else it would go on, and take a share of the next measurement
            engine_process.kill()
        return (after.user + after.system - before.user - before.system) / took
    finally:
        subprocess.run([*tmux, "kill-server"], check=False, capture_output=True)


def opening(home: Path, steps: int = LONG) -> tuple[float, float]:
    """From enter on a finished run in the list until its whole curve is drawn: seconds, and of the processor."""
    os.environ["ZOTUI_HOME"] = str(home / "zotui")
    config.file().parent.mkdir(parents=True, exist_ok=True)
    config.file().write_text("[ui]\nspare_engine = false\n")  # it would load its libraries meanwhile
    preset = f'[model]\npath = "builtin:demo"\n[task]\nname = "sst2"\n[run]\nsteps = {steps}\n'
    run = RunDir.create(load("demo", preset), "demo")
    with run.journal_file.open("wb") as journal:
        for step in range(steps):
            losses = {"loss_plus": 0.5 + step % 7 / 70, "loss_minus": 0.5, "projected_grad": 1.0, "lr": 1e-6}
            journal.write(encode_line({"step": step, **losses, "drew": "cpu", "tokens": 512, "seconds": 0.02}))
    run.info.update(state="finished")
    tmux = ["tmux", "-S", str(home / "tmux"), "-f", "/dev/null"]
    new = ["new-session", "-d", "-x", "120", "-y", "40", f"cd {ROOT}; exec {sys.executable} -m zotui"]

    def shown() -> str:
        return subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True).stdout

    def wait(text: str) -> None:
        end = time.monotonic() + 60
        while text not in shown():
            if time.monotonic() > end:
                raise SystemExit(f"never came: {text}\n{shown()}")
            time.sleep(0.03)  # looking takes a share of the machine, too

    try:
        subprocess.run([*tmux, *new], env={**os.environ, "TERM": "xterm-256color"}, check=True)
        wait(run.name[:20])
        wait("fits")  # what the presets need is looked at aside
        time.sleep(SETTLING / 5)
        asked = subprocess.run([*tmux, "list-panes", "-F", "#{pane_pid}"], capture_output=True, text=True, check=True)
        app = psutil.Process(int(asked.stdout))
        subprocess.run([*tmux, "send-keys", "Tab"], check=True)
        wait(str(run.path)[:20])
        begun, before = time.monotonic(), app.cpu_times()
        subprocess.run([*tmux, "send-keys", "Enter"], check=True)
        wait("zotui export")  # what can be done with a run that is over is said with its curve
        took, after = time.monotonic() - begun, app.cpu_times()
        return took, after.user + after.system - before.user - before.system
    finally:
        subprocess.run([*tmux, "kill-server"], check=False, capture_output=True)


def main() -> None:
    """Measure, and print a table."""
    if shutil.which("tmux") is None:
        raise SystemExit("tmux is not installed")
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            home = Path(folder) / f"{size[0]}"
            home.mkdir()
            print(f"{size[0]}x{size[1]}: {share(size, home):.1%} of a core at 50 steps a second", flush=True)
        took, spent = opening(Path(folder))
        print(f"{LONG:,} steps: {took:.2f} s from enter to the whole curve, {spent:.2f} s of them the processor's")


if __name__ == "__main__":
    main()
