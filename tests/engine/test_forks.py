"""A forked engine is what a fresh one is: what the tests see of forks holds for what a user starts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from engine.preset.load import load
from engine.protocol.codec import decode_event
from engine.protocol.events import Done, Hello, Step
from engine.runs.directory import RunDir
from tests import forked
from tests.engine.conftest import Runner, needs_vllm
from tests.engine.states import saved
from tests.live_engine import Engine

STEPS = 12


def results(run: RunDir) -> tuple[Any, ...]:
    """All that a run leaves, without times: steps, evaluations, and the weights' bytes."""
    steps = [structs.replace(step, seconds=0.0) for step in run.journal()]
    taken = [(one.step, one.split, one.metrics) for one in run.evaluations()]
    return steps, taken, saved(run.path, STEPS).read_bytes()


@pytest.mark.parametrize("runtime", ["training-loop", pytest.param("vllm", marks=needs_vllm)])
def test_a_forked_engine_takes_the_steps_of_a_fresh_one_bit_for_bit(
    start: Any, tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    settings = (f"model.path={tiny_models['opt']}", f"model.runtime={runtime}", f"run.steps={STEPS}")
    fork: Engine = start(*settings, "method.interval=5")
    assert isinstance(fork.process, forked.Process)
    assert fork.finish() == 0
    monkeypatch.delenv(forked.FOLDER)
    fresh: Engine = start(*settings, "method.interval=5")
    assert not isinstance(fresh.process, forked.Process)
    assert fresh.finish() == 0
    assert results(fork.run) == results(fresh.run)
    assert fork.run.info.read().hardware == fresh.run.info.read().hardware


def test_a_fork_is_a_process_of_its_own_that_dies_of_what_kills_it(start: Any) -> None:
    engine: Engine = start()
    hello = engine.until(Hello)
    pid = engine.process.pid
    assert (hello.pid, os.getsid(pid), os.getpgid(pid)) == (pid, pid, pid)
    assert Path(f"/proc/{pid}/cwd").resolve() == Path.cwd()
    os.kill(pid, signal.SIGKILL)
    assert engine.finish() == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_python_that_stands_in_has_an_engine_forked_and_passes_on_what_it_is_told(
    tiny_run: Runner, tmp_path: Path
) -> None:
    """It is what command lines start engines with."""
    run = RunDir.create(load("tiny", tiny_run.preset.read_text(), ("run.steps=4000",)), "tiny", tmp_path / "run")
    command = [forked.stand_in(), "-P", "-m", "engine", str(run.path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout
        events = map(decode_event, process.stdout)
        hello = next(event for event in events if isinstance(event, Hello))
        assert Path(f"/proc/{hello.pid}/cmdline").read_text().count("fork_server.py") == 1 and hello.pid != process.pid
        next(event for event in events if isinstance(event, Step))
        process.send_signal(signal.SIGTERM)
        *_, done = events
        assert isinstance(done, Done) and done.outcome == "stopped"
        assert process.wait(240) == 130


def test_an_environment_that_libraries_read_when_they_are_imported_gets_a_fresh_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forked.check(os.environ[forked.FOLDER], dict(os.environ))
    for name, value in (("OMP_NUM_THREADS", "2"), ("TORCH_LOGS", "all"), ("VLLM_USE_V2_MODEL_RUNNER", "1")):
        with monkeypatch.context() as changed, pytest.raises(forked.Unlike, match=name):
            changed.setenv(name, value)
            forked.check(os.environ[forked.FOLDER], dict(os.environ))
    monkeypatch.setenv("ZOTUI_HOME", "elsewhere")
    forked.check(os.environ[forked.FOLDER], dict(os.environ))


def test_whoever_leaves_without_hearing_the_end_harms_nobody(start: Any) -> None:
    first: Engine = start("run.steps=2")
    assert isinstance(first.process, forked.Process)
    first.process.stdin.close()
    assert first.process._server.recv(1000, socket.MSG_PEEK)  # it is told, and
    first.process._server.close()  # does not listen
    first.process.returncode = 0
    assert start("run.steps=2").finish() == 0
