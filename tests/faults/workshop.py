"""Where faults are injected: a folder with a small model, runs of one preset, and their undisturbed references."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.preset.load import load
from engine.preset.schema import Preset
from engine.protocol.events import Done
from engine.runs.directory import RunDir
from tests import forked, starting
from tests.faults import small
from tests.live_engine import Engine

ROOT = Path(__file__).parents[2]
INTERVAL, EVALUATE, SAVE = 7, 11, 9  # steps: often, and never long at the same time
MOST_SECONDS = 240.0  # that an engine may take, or anything that is waited for

_PRESET = """
[model]
path = "{model}"
dtype = "float32"
device = "cpu"
runtime = "{runtime}"
[task]
name = "sst2"
train = "{train}"
validation = "{validation}"
[method]
interval = {interval}
lr = 1e-3
[run]
steps = {steps}
batch_size = 4
eval_every = {evaluate}
checkpoint_every = {save}
"""


class Unavailable(Exception):
    """A fault that cannot be made on this machine; the text says why."""


class Workshop:
    """Runs that may be made from several threads; `close` ends whatever is left of them."""

    def __init__(self, folder: Path, *, long: bool, seed: int = 0) -> None:
        self.folder, self.long = folder, long
        self.small = small.make(folder / "small")
        # One thread each, for several rows are worked on at a time. The code here, not what may be installed.
        path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        self.environment = {
            "PYTHONPATH": os.pathsep.join(path if str(ROOT) in path else [str(ROOT), *filter(None, path)]),
            "ZOTUI_HOME": str(folder / "home"),
            "OMP_NUM_THREADS": "1",
        }
        self._seed = seed
        self._lock = threading.Lock()
        self._references: dict[tuple[str, int], threading.Lock | RunDir] = {}
        self._engines: list[Engine] = []
        self._count = 0

    def chance(self, of: str) -> random.Random:
        """The random numbers of one row: the same whatever rows are run beside it."""
        return random.Random(f"{self._seed} {of}")

    def tries(self, short: int, long: int) -> int:
        """How often to try something."""
        return long if self.long else short

    def preset(self, *, runtime: str = "training-loop", steps: int, made: small.Small | None = None) -> Preset:
        """The preset of every run, of this length, on `made` instead of the common model and data if given."""
        if runtime == "vllm" and importlib.util.find_spec("vllm") is None:
            raise Unavailable("vLLM is not installed")
        made = made or self.small
        text = _PRESET.format(
            model=made.model, train=made.train, validation=made.validation, runtime=runtime, steps=steps,
            interval=INTERVAL, evaluate=EVALUATE, save=SAVE,
        )  # fmt: skip
        return load("faults", text)

    def new_run(self, preset: Preset, within: Path | None = None) -> RunDir:
        """The directory of a new run."""
        with self._lock:
            self._count += 1
            path = (within or self.folder / "runs") / f"run-{self._count}"
        return RunDir.create(preset, "faults", path)

    def start(self, run: RunDir, *, resume: bool, environment: Mapping[str, str] | None = None) -> Engine:
        """An engine at work on the run."""
        engine = Engine(
            run, resume=resume, environment={**self.environment, **(environment or {})}, most_seconds=MOST_SECONDS
        )
        with self._lock:
            self._engines.append(engine)
        return engine

    def reference(self, preset: Preset) -> RunDir:
        """A run of the same steps that nothing disturbed, made once by whoever needs it first."""
        key = (preset.model.runtime, preset.run.steps)
        with self._lock:
            making = self._references.setdefault(key, threading.Lock())
        if isinstance(making, RunDir):
            return making
        with making:
            found = self._references[key]
            if isinstance(found, RunDir):
                return found
            run = self.new_run(self.preset(runtime=key[0], steps=key[1]))
            engine = self.start(run, resume=False)
            code = engine.finish()
            assert code == 0, f"the undisturbed run ended with {code}: {run.log_tail()}"
            assert engine.of(Done), "the undisturbed run did not say that it is done"
            self._references[key] = run
            return run

    def zotui(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line, in a process of its own."""
        arguments = ("-P", "-m", "zotui", *arguments)
        return starting.run([*arguments], env={**os.environ, **self.environment}, timeout=MOST_SECONDS)

    def command(self, *arguments: str) -> Sequence[str]:
        """What starts zotui, whose engines are forked where there is a server for that."""
        driver = f"import sys; sys.executable = {forked.stand_in()!r}; from zotui.cli import main; main()"
        return [sys.executable, "-P", "-c", driver, *arguments]

    def close(self) -> None:
        """End every engine that is left."""
        for engine in self._engines:
            engine.process.kill()
            engine.process.wait()


def wait_for(what: str, found: Callable[[], Any], seconds: float = MOST_SECONDS, every: float = 0.01) -> Any:
    """What `found` returns, as soon as that is true; for what no event tells of."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s"
        time.sleep(every)
    return result
