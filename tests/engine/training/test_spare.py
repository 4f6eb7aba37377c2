"""A spare engine, once it has its run, is any other engine: the same bits, commands, log and errors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import structs
from safetensors.torch import load_file

from engine.preset.load import load
from engine.protocol.codec import encode
from engine.protocol.commands import AnyCommand, Pause, Resume
from engine.protocol.events import Error, Eval, Hello, Phase, State
from engine.protocol.order import Order, encode_order
from engine.runs.directory import RunDir
from tests import forked, starting
from tests.engine.conftest import Runner, needs_vllm
from tests.engine.states import saved
from tests.engine.training.test_determinism import trajectory
from tests.live_engine import Conversation, Engine

STEPS = 25


class SpareEngine(Engine):
    """`python -m engine --spare`, told its run at once."""

    def __init__(self, run: RunDir, *, environment: Mapping[str, str] | None = None) -> None:
        with Path(os.devnull).open("wb") as nothing:
            env = {**os.environ, **(environment or {})}
            self.process = starting.start(["-P", "-m", "engine", "--spare"], env=env, stderr=nothing)
        Conversation.__init__(self, run, lambda: iter(self.process.stdout or ()), self._write)

    def give(self, *commands: AnyCommand) -> None:
        """Its run, with commands for it in the same breath."""
        self._write(encode_order(Order(run=str(self.run.path))) + b"".join(map(encode, commands)))

    def printed(self) -> str:
        """What is in its log, which is a file without a name as long as it has no run."""
        return Path(f"/proc/{self.process.pid}/fd/2").read_text()


def timeless(evaluations: list[Eval]) -> list[Eval]:
    return [structs.replace(evaluation, seconds=0.0) for evaluation in evaluations]


@pytest.fixture
def spare(tmp_path: Path, tiny_run: Runner) -> Iterator[Callable[..., SpareEngine]]:
    """Starts spare engines that will be told of runs of the tiny preset."""
    started: list[SpareEngine] = []

    def spare(*settings: str, **options: Any) -> SpareEngine:
        preset = load("tiny", tiny_run.preset.read_text(), settings)
        started.append(SpareEngine(RunDir.create(preset, "tiny", tmp_path / f"spare{len(started)}"), **options))
        return started[-1]

    yield spare
    for engine in started:
        engine.process.kill()
        engine.process.wait()


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("runtime", ["training-loop", pytest.param("vllm", marks=needs_vllm)])
def test_a_run_on_it_is_the_same_bit_for_bit(start: Any, spare: Callable[..., SpareEngine], runtime: str) -> None:
    settings = (f"model.runtime={runtime}", f"run.steps={STEPS}", "run.batch_size=4", "method.queries=2")
    # It is what loads libraries: one of the two does so itself.
    ready = spare(*settings, environment={forked.FOLDER: ""} if runtime == "vllm" else {})
    fresh = start(*settings)
    assert fresh.finish() == 0
    wait_for(lambda: "ready for a run" in ready.printed())
    ready.give(Pause())
    first = next(ready.events())
    assert isinstance(first, Phase)
    ready.until(State, state="paused")
    ready.until(Hello, pid=ready.process.pid)
    assert ready.run.steps_done() == 0
    ready.send(Resume())
    assert ready.finish() == 0
    assert len(trajectory(ready.run)) == STEPS
    assert trajectory(ready.run) == trajectory(fresh.run)
    assert ready.run.evaluations() and timeless(ready.run.evaluations()) == timeless(fresh.run.evaluations())
    ours, theirs = (load_file(saved(run.path, STEPS)) for run in (ready.run, fresh.run))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    for record in ("hardware", "versions", "runtime", "device", "noise", "started_on"):
        assert getattr(ready.run.info.read(), record) == getattr(fresh.run.info.read(), record)
    log = ready.run.log_file.read_text()
    assert 0 <= log.index("ready for a run") < log.index("engine loading model")


def test_where_a_library_does_not_load_the_run_begins_anew_in_the_same_process(
    spare: Callable[..., SpareEngine], tmp_path: Path
) -> None:
    broken = tmp_path / "broken/vllm/__init__.py"
    broken.parent.mkdir(parents=True)
    broken.write_text("raise OSError('libvllm.so: cannot be opened')\n")
    path = os.pathsep.join([str(tmp_path / "broken"), os.environ.get("PYTHONPATH", "")])
    engine = spare("model.runtime=vllm", environment={"PYTHONPATH": path})
    wait_for(lambda: "engine.runtimes.vllm.runtime does not load" in engine.printed())
    engine.give()
    refused = engine.until(Error)
    assert refused.kind == "usage" and "vLLM does not load (OSError: libvllm.so: cannot be opened)" in refused.text
    assert engine.finish() == 2
