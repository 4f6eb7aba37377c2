"""Logging to TensorBoard, Trackio and W&B: the real packages on real runs, and what a bad one may do to a run."""

from __future__ import annotations

import queue
import struct
import threading
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from engine.clients.outbox import Outbox
from engine.clients.trackers import projects
from engine.clients.trackers.follower import Follower
from engine.errors import UserError
from engine.preset.load import load
from engine.protocol.commands import Stop
from engine.protocol.events import Done, Error, Hello, Log, Phase, Step
from engine.protocol.events import Event as AnyMessage
from engine.runs.directory import RunDir
from tests.live_engine import Engine

MINIMAL = '[model]\npath = "m"\n[task]\nname = "sst2"\n'


def needs(package: str) -> Any:
    """Skips where the package is not installed, as in CI: it is large, and its extra is called the same."""
    return pytest.mark.skipif(find_spec(package) is None, reason=f"needs {package}: pip install 'zotui[{package}]'")


def infos(engine: Engine) -> str:
    return "\n".join(event.text for event in engine.seen if isinstance(event, Log))


def stopped_and_resumed(start: Any, name: str) -> RunDir:
    """A run of 12 steps that was stopped on its way and resumed, logged by `name`."""
    engine = start(f"run.track={name}", "run.steps=12", "run.eval_every=4")
    engine.until(Step, step=5)
    engine.send(Stop())
    engine.until(Done)
    assert engine.finish() == 130
    assert f"{name}: " in infos(engine) and "failed" not in infos(engine)
    again = Engine(engine.run, resume=True)
    again.until(Done)
    assert again.finish() == 0
    assert "failed" not in infos(again)
    return engine.run


def losses(run: RunDir) -> dict[int, float]:
    return {step.step: step.loss for step in run.journal()}


def evaluated(run: RunDir) -> dict[int, float]:
    return {taken.step: taken.metrics["accuracy"] for taken in run.evaluations()}


def test_tensorboard_holds_every_figure_of_a_run_and_of_its_resume(start: Any) -> None:
    run = stopped_and_resumed(start, "tensorboard")
    found = event_files(run.path / "tensorboard")
    assert found["train/loss"] == pytest.approx(losses(run))
    assert found["validation/accuracy"] == pytest.approx(evaluated(run))
    assert set(found["train/lr"]) == set(found["speed/tokens_per_s"]) == set(range(12))
    assert "| method.lr | 0.0001 |" in found["settings/text_summary"][0]


def event_files(folder: Path) -> dict[str, dict[int, Any]]:
    """What TensorBoard would show, by tag and step; a file that begins at a step replaces what was from it on."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, dict[int, Any]] = defaultdict(dict)
    for file in sorted(folder.glob("events.*")):
        data = file.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            if event.HasField("session_log"):
                for values in found.values():
                    for purged in [step for step in values if step >= event.step]:
                        del values[purged]
            for value in event.summary.value:
                text = value.tensor.string_val
                found[value.tag][event.step] = text[0].decode() if text else value.simple_value
    return found


@needs("wandb")
def test_wandb_without_a_key_stays_on_this_machine(start: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    run = stopped_and_resumed(start, "wandb")
    parts = sorted((run.path / "wandb").glob("offline-run-*"))
    assert len(parts) == 2  # one for each engine, of one run
    assert all(part.name.endswith(projects.identity(run)) for part in parts)
    kept = b"".join(file.read_bytes() for part in parts for file in part.glob("*.wandb"))
    assert b"train/loss" in kept and b"validation/accuracy" in kept and b"method.lr" in kept


@needs("trackio")
def test_trackio_holds_every_figure_of_a_run_and_of_its_resume(
    start: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    run = stopped_and_resumed(start, "trackio")
    from trackio.sqlite_storage import SQLiteStorage

    rows = SQLiteStorage.get_logs("zotui", run.name)
    assert {row["step"]: row["train/loss"] for row in rows if "train/loss" in row} == pytest.approx(losses(run))
    taken = {row["step"]: row["validation/accuracy"] for row in rows if "validation/accuracy" in row}
    assert taken == pytest.approx(evaluated(run))


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_package_that_is_not_there_is_said_before_anything_is_loaded(start: Any, name: str) -> None:
    if find_spec(name) is not None:
        pytest.skip(f"{name} is installed here")
    engine = start(f"run.track={name}")
    error = engine.until(Error)
    assert (error.kind, error.text) == (
        "usage",
        f"run.track: {name} needs a package that is not installed: pip install 'zotui[{name}]'",
    )
    assert engine.finish() == 2
    assert not any(isinstance(event, Phase) for event in engine.seen)


class Stubborn:
    """A tracker that fails, or waits, when it is given a step."""

    def __init__(self, act: Any) -> None:
        self.act, self.steps, self.finished = act, [], False

    def open(self, run: RunDir, config: dict[str, Any], first_step: int) -> str:
        return "open"

    def log(self, step: int, values: dict[str, float]) -> None:
        self.steps.append(step)
        self.act()

    def finish(self) -> None:
        self.finished = True


def hello(steps: int) -> Hello:
    return Hello(run="r", name="r", preset="p", model="m", runtime="vllm", device="cpu", dtype="float32", steps=steps)


def step(number: int) -> Step:
    return Step(
        step=number, loss=0.5, loss_plus=0.5, loss_minus=0.5, projected_grad=1.0, lr=1e-6, tokens=9, seconds=0.1,
        tokens_per_s=90.0,
    )  # fmt: skip


def followed(tracker: Stubborn, tmp_path: Path) -> tuple[Outbox, queue.Queue[AnyMessage]]:
    """An outlet that the tracker follows, and what others hear from it."""
    outbox, heard = Outbox(), queue.Queue()
    wanted = load("p", MINIMAL)
    follower = Follower("wandb", tracker, RunDir(tmp_path), wanted, outbox.emit)
    outbox.follow(follower.take, follower.end, 20.0)
    outbox.follow(heard.put, lambda: None, 20.0)
    return outbox, heard


def test_a_tracker_that_fails_is_one_warning(tmp_path: Path) -> None:
    def fail() -> None:
        raise ConnectionError("no route to host\nmore")

    tracker = Stubborn(fail)
    outbox, heard = followed(tracker, tmp_path)
    for event in (hello(3), step(0), step(1), step(2)):
        outbox.emit(event)
    while not isinstance(event := heard.get(timeout=240), Log) or event.level != "warning":
        pass
    outbox.close()
    texts = [event.text, *(later.text for later in heard.queue if isinstance(later, Log))]
    assert texts == ["wandb failed (ConnectionError: no route to host); the run goes on without it"]
    assert (tracker.steps, tracker.finished) == ([0], False)


def test_a_tracker_that_is_stuck_holds_up_no_step(tmp_path: Path) -> None:
    stuck = threading.Event()
    tracker = Stubborn(lambda: stuck.wait(240))
    outbox, _ = followed(tracker, tmp_path)
    outbox.emit(hello(5000))
    for number in range(5000):
        outbox.emit(step(number))  # were it to wait, it would for 60 s each
    assert tracker.steps in ([], [0])
    stuck.set()
    outbox.close()
    assert (len(tracker.steps), tracker.finished) == (5000, True)


def test_wandb_goes_online_only_where_it_was_set_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    netrc = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(netrc))
    assert projects.mode() == "offline"
    netrc.write_text("machine api.wandb.ai login user password secret\n")
    assert projects.mode() is None
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert projects.mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert projects.mode() is None
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("WANDB_MODE", "online")  # W&B will say what it lacks
    assert projects.mode() is None


def test_one_tracker_needs_no_list() -> None:
    assert load("p", MINIMAL, ["run.track=tensorboard"]).run.track == ["tensorboard"]
    assert load("p", MINIMAL, ['run.track=["wandb", "trackio"]']).run.track == ["wandb", "trackio"]
    with pytest.raises(UserError, match=r"run\.track\.0: .* 'tensorboard', 'trackio' or 'wandb', not 'tb'"):
        load("p", MINIMAL, ["run.track=tb"])
