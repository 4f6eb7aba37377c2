"""Numbers that are not finite: they reach neither the weights nor the journal, by real overflow in float16."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.clients.inbox import Inbox, Stopped
from engine.errors import NotFinite
from engine.estimators.probing import Probing
from engine.optimizer import Optimizer
from engine.preflight.open import Opened, open_run
from engine.preset.load import load
from engine.preset.method import Method
from engine.preset.schema import Preset
from engine.protocol.commands import AnyCommand, Evaluate, Resume, Save, Stop
from engine.protocol.events import Eval, Event, Returned, State
from engine.runs import checkpoints
from engine.runs.directory import RunDir
from engine.runs.lineage import Lineage
from engine.runtimes.base import Probe
from engine.tasks.example import Example
from engine.training.disk_wait import DiskWait
from engine.training.stopwatch import Stopwatch
from engine.training.trainer import Trainer
from tests.engine.conftest import Runner, needs_vllm
from tests.engine.states import saved, weights_of

HALF = ("model.dtype=float16", "task.validation_examples=6", "run.batch_size=2")
RUNTIMES = [pytest.param("vllm", marks=needs_vllm), "training-loop"]
STEPS, INTERVAL, BAD = 7, 2, 4  # the bad step begins an interval: a fold came before it


class Session:
    """A trainer in this process, whose probe of step `BAD` overflows the first few times it is tried."""

    def __init__(self, folder: Path, wanted: Preset, opened: Opened, monkeypatch: Any, tries: int) -> None:
        self.run = RunDir.create(wanted, "tiny", folder)
        self.events: list[Event] = []
        self.when_held: list[AnyCommand] = []
        self.inbox = Inbox(self.hear)
        commands, self.app = os.pipe()  # nothing is said, but somebody is there
        self.inbox.listen(lambda most: os.read(commands, most))
        watch = Stopwatch(self.run)
        disk_wait = DiskWait(self.inbox, self.hear, watch)
        self.trainer = Trainer(self.run, wanted, opened, self.inbox, self.hear, watch, disk_wait)
        probe: Callable[..., list[Probe]] = type(opened.runtime).probe
        left = [tries]

        def probe_too_far(step: int, probing: Probing, eps: float, *others: Any) -> list[Probe]:
            too_far = step == BAD and left[0] > 0
            left[0] -= too_far
            return probe(opened.runtime, step, probing, 1e6 if too_far else eps, *others)

        monkeypatch.setattr(opened.runtime, "probe", probe_too_far)

    def hear(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, State) and event.state == "paused":
            commands = [self.when_held.pop(0)] if self.when_held else [Stop()]
            if commands == [Save()]:  # no other state follows, to which one could answer
                commands.append(Resume())
            # On a thread, as commands come in: it is heard once the trainer waits.
            threading.Thread(target=lambda: [self.inbox.obey(command) for command in commands]).start()

    def losses(self) -> list[tuple[float, float]]:
        return [(step.loss_plus, step.loss_minus) for step in self.run.journal()]

    def held(self) -> list[str]:
        return [e.reason for e in self.events if isinstance(e, State) and e.state == "paused" and e.reason]


@pytest.fixture
def session(tiny_run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Any:
    opened: list[Opened] = []

    def session(name: str, runtime: str, tries: int, *more: str) -> Session:
        settings = (*HALF, f"model.runtime={runtime}", f"run.steps={STEPS}", f"method.interval={INTERVAL}", *more)
        wanted = load("tiny", tiny_run.preset.read_text(), settings)
        opened.append(open_run(wanted, lambda *_: None))
        return Session(tmp_path / name, wanted, opened[-1], monkeypatch, tries)

    yield session
    for one in opened:
        one.runtime.close()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_probe_that_overflows_leaves_the_run_as_it_was(session: Any, runtime: str) -> None:
    undisturbed = session("undisturbed", runtime, tries=0)
    undisturbed.trainer.train()
    undisturbed.trainer.save()
    held = session("held", runtime, tries=2)
    held.when_held = [Evaluate(), Resume(), Resume()]
    held.trainer.train()
    held.trainer.save()
    assert len(held.held()) >= 2 and len(set(held.held())) == 1
    assert "step 4 is not a finite number" in held.held()[0]
    assert held.losses() == undisturbed.losses()
    weights = [load_file(saved(s.run.path, STEPS)) for s in (held, undisturbed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    # The evaluation while it was held is of finite weights, those before the bad step.
    evaluation = next(e for e in held.events if isinstance(e, Eval) and e.step == BAD)
    assert 0 < evaluation.metrics["loss"] < 10


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_is_saved_while_held_is_resumed_to_the_same_end(session: Any, runtime: str, monkeypatch: Any) -> None:
    """Also on the boundary of an interval, where the bad step has folded already."""
    undisturbed = session("undisturbed", runtime, tries=0)
    undisturbed.trainer.train()
    held = session("held", runtime, tries=1)
    held.when_held = [Stop()]
    with pytest.raises(Stopped):
        held.trainer.train()
    held.trainer.save()
    assert [step.step for step in held.run.journal()] == list(range(BAD))
    again = session("unused", runtime, tries=0).trainer
    again._run = again._restorer._run = again._evaluations._run = held.run
    again.restore()
    assert again.steps_done == BAD
    again.train()
    assert held.losses() == undisturbed.losses()


RATCHET = (
    "method.ratchet=true", f"run.eval_every={BAD}", "method.lr=0.1", "run.seed=5", "run.checkpoint_best=false",
)  # fmt: skip


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_step_that_returns_and_overflows_is_as_if_it_had_not_been(session: Any, runtime: str) -> None:
    """It is held where it was before it returned, as what is saved then shows, and returns when it is tried again."""
    undisturbed = session("undisturbed", runtime, 0, *RATCHET)
    undisturbed.trainer.train()
    undisturbed.trainer.save()
    held = session("held", runtime, 1, *RATCHET)
    held.when_held = [Save()]  # and then Resume
    held.trainer.train()
    held.trainer.save()
    for one in (undisturbed, held):
        assert {step.step: step.returned_to for step in one.run.journal() if step.returned_to is not None} == {BAD: 0}
        assert [event.to for event in one.events if isinstance(event, Returned)] == [0]
    assert len(held.held()) == 1 and held.losses() == undisturbed.losses()
    weights = [load_file(saved(s.run.path, STEPS)) for s in (held, undisturbed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    # What was saved while it was held is the state after four steps, from which a fork rebuilds it.
    found, damaged = checkpoints.newest(held.run, Lineage({}, BAD))
    assert found is not None and found.step == BAD and not damaged
    assert found.file == saved(held.run.path, BAD)
    assert found.file.read_bytes() != saved(held.run.path, 0).read_bytes()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_headless_saves_says_what_to_try_and_exits_1(tiny_run: Runner, runtime: str) -> None:
    done = tiny_run(f"model.runtime={runtime}", *HALF, "method.eps=1e6")
    assert done.code == 1, done.stderr
    kinds = [event["type"] for event in done.events]
    held = next(event for event in done.of("state") if event["state"] == "paused")
    assert done.events[-1] == {"type": "error", "kind": "failure", "text": held["reason"]}
    assert kinds.index("checkpoint") > done.events.index(held)
    assert not done.of("step") and not (done.folder / "journal.jsonl").read_bytes()
    for said in ("a smaller method.eps (now 1e+06)", "model.dtype=float32", "a new run: zotui run"):
        assert said in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 8
    weights = weights_of(done.folder, 0)
    assert all(bool(tensor.isfinite().all()) for tensor in weights.values())
    assert json.loads((done.folder / "run.json").read_bytes())["state"] == "failed"


class Flat:
    """A runtime that scores what it is told to."""

    def __init__(self, plus: float, minus: float) -> None:
        self.scores = plus, minus
        self.updates = 0

    def redraw(self, step: int) -> None: ...

    def probe(self, *_: Any) -> list[Probe]:
        plus, minus = self.scores
        return [Probe([[plus, 0.0]], [[minus, 0.0]], 1)]

    def update(self, *_: Any) -> None:
        self.updates += 1


@pytest.mark.parametrize(
    ("scores", "settings", "said"),
    [
        ((float("nan"), 1.0), {}, "L+ nan"),
        ((1.0, float("-inf")), {}, "L- inf"),
        ((1.0, 0.0), {"lr": 1e30, "eps": 1e-9}, "too large for a number"),
    ],
)
def test_nothing_is_updated_by_what_is_not_finite(scores: Any, settings: dict[str, float], said: str) -> None:
    runtime: Any = Flat(*scores)
    method = Optimizer(Method(**settings), 10, "classification")  # type: ignore[arg-type]
    with pytest.raises(NotFinite, match=said.replace("+", r"\+")) as caught:
        method.step(runtime, 3, [Example((1,), ((2,), (3,)), 0)])
    assert runtime.updates == 0 and "try a" in str(caught.value)
    runtime.scores = (1.0, 1.0)
    method.step(runtime, 3, [Example((1,), ((2,), (3,)), 0)])
    assert runtime.updates == 1
