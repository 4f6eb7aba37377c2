"""A scripted engine: speaks the message protocol over real pipes and a real control socket, and trains nothing.

Usage: scripted_engine.py RUN [--resume]. The script is JSON in the environment variable
`SCRIPTED_ENGINE`; see `DEFAULTS` for its keys.
"""

from __future__ import annotations

import json
import math
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from engine.clients.outbox import Outbox
from engine.clients.socket import ControlSocket
from engine.protocol.codec import decode_command
from engine.protocol.commands import Change, Evaluate, Pause, Resume, Save, Stop, Try
from engine.protocol.events import (
    Answer,
    Checkpoint,
    Done,
    Error,
    Eval,
    Event,
    Hello,
    Log,
    Phase,
    State,
    Step,
    Telemetry,
    Tried,
)
from engine.protocol.frames import frames
from engine.runs.changes import Changes
from engine.runs.directory import RunDir
from engine.runs.journal import JournalWriter

DEFAULTS = {
    "steps": 200,
    "delay": 0.01,  # seconds a step takes
    "seconds": 0.0213,  # seconds a step claims to have taken
    "eval_every": 50,
    "hold_at": None,  # wait for a command before this step
    "gate": None,  # a file whose appearance ends the start-up
    "die_at": None,  # killed by SIGKILL before this step, unless resumed
    "fail_at": None,  # an Error of kind failure before this step, unless resumed
    "refuse": None,  # an Error of kind usage with this text
    "gpu": False,
    "noise": None,  # of the difference between the two losses
    "deaf": False,  # never confirms a pause
    "fault_at": None,  # pauses of its own accord before this step, again whenever it is resumed
}


FAULT = "the loss is not a finite number; try a smaller method.eps"


outbox = Outbox.take_stdout()


def say(event: Event) -> None:
    outbox.emit(event)


def loss_at(step: int) -> float:
    wobble = math.sin(step * 12.9898) * 43758.5453
    return 0.35 + 0.36 * math.exp(-step / 90) + 0.09 * (wobble - math.floor(wobble) - 0.5)


class Engine:
    def __init__(self, run: RunDir, resumed: bool, script: dict) -> None:
        self.run, self.resumed, self.script = run, resumed, script
        self.commands: queue.Queue = queue.Queue()
        self.paused = self.stopping = self.fault = False
        self.step = len(list(run.journal())) if resumed else 0
        self.listen(lambda most: os.read(0, most))
        signal.signal(signal.SIGTERM, lambda *_: self.commands.put(Stop()))

    def listen(self, read, ended=lambda: None) -> None:
        threading.Thread(target=self.hear, args=(read, ended), daemon=True).start()

    def hear(self, read, ended) -> None:
        for command in frames(read, decode_command):
            with (self.run.path / "heard.txt").open("a") as heard:
                heard.write(type(command).__name__ + "\n")
            self.commands.put(command)
        ended()

    def obey(self, wait: float | None = 0) -> None:
        try:
            command = self.commands.get(timeout=wait) if wait else self.commands.get_nowait()
        except queue.Empty:
            return
        if isinstance(command, Pause):
            if not self.script["deaf"]:
                self.paused = True
                say(State(state="paused", step=self.step))
        elif isinstance(command, Resume):
            self.paused = False
            say(State(state="running", step=self.step))
        elif isinstance(command, Save):
            self.save()
        elif isinstance(command, Evaluate):
            self.evaluate()
        elif isinstance(command, Change):
            say(Changes(self.run, self.run.preset()).change(self.step, command))
        elif isinstance(command, Try):
            self.answer(command)
        elif isinstance(command, Stop):
            self.fault = self.script["fault_at"] == self.step
            self.stopping = True
            say(State(state="stopping", step=self.step))

    def answer(self, asked: Try) -> None:
        prompt, options, label = asked.prompt, asked.options, None
        if asked.example is not None:
            prompt, options, label = f"held-out review {asked.example} . It was", ["terrible", "great"], 1
        if options:
            now, base = Answer(probabilities=[0.125, 0.875]), Answer(probabilities=[0.5, 0.5])
        else:
            now, base = Answer(text=" a joy from start to end"), Answer(text=" the the the")
        say(Tried(id=asked.id, step=self.step, prompt=prompt, options=options, label=label, now=now, base=base))

    def save(self) -> None:
        say(State(state="checkpointing", step=self.step))
        say(Checkpoint(step=self.step, path=str(self.run.checkpoints / f"step-{self.step:08}"), seconds=0.21))
        if not self.stopping:
            say(State(state="paused" if self.paused else "running", step=self.step))

    def evaluate(self) -> None:
        say(State(state="evaluating", step=self.step))
        metrics = {
            "loss": round(0.70 - 0.0004 * self.step, 4),
            "accuracy": round(0.602 + 0.0002 * self.step, 4),
        }
        record = {
            "step": self.step,
            "split": "validation",
            "metrics": metrics,
            "examples": 872,
            "seconds": 1.5,
        }
        self.run.add_evaluation(record)
        say(Eval(**record))
        self.metrics = metrics
        say(State(state="paused" if self.paused else "running", step=self.step))

    def telemetry(self) -> None:
        gpu, wave = self.script["gpu"], 0.5 + 0.5 * math.sin(self.step / 25)
        say(
            Telemetry(
                kv_cache_usage=0.30 + 0.2 * wave,
                gpu_memory_used=int(31.2 * 2**30) if gpu else None,
                gpu_memory_total=int(139.8 * 2**30) if gpu else None,
                gpu_utilisation=0.6 + 0.3 * wave if gpu else None,
                rss=int((1.5 + 0.002 * self.step) * 2**30),
                cpu=1.2 + 0.7 * wave,
            )
        )

    def start_up(self) -> None:
        for name, progress in (("loading model", 0.0), ("loading model", 0.4)):
            say(Phase(name=name, progress=progress))
        self.telemetry()
        gate = self.script["gate"]
        while gate and not Path(gate).exists() and not self.stopping:
            self.obey(0.02)
        say(Phase(name="warm-up", progress=None))

    def main(self) -> int:
        script = self.script
        say(
            Hello(
                run=str(self.run.path), name=self.run.name, preset="demo", model="opt-reviews",
                runtime="vllm", device="cuda:0 (NVIDIA H200)" if script["gpu"] else "cpu", dtype="float32",
                steps=script["steps"], first_step=self.step, pid=os.getpid(), noise=script["noise"],
            )
        )  # fmt: skip
        say(State(state="starting", step=self.step))
        self.start_up()
        if not self.paused:
            say(State(state="running", step=self.step))
        say(Log(level="info", text="self-check: both scoring paths agree to 2e-7"))
        journal = JournalWriter(self.run.journal_file)
        self.metrics: dict[str, float] = {}
        while self.paused and not self.stopping:
            self.obey(0.02)
        if self.step == 0:
            self.evaluate()
        while self.step < script["steps"] and not self.stopping:
            if self.step == script["die_at"] and not self.resumed:
                outbox.close()  # what it said has been said
                os.kill(os.getpid(), signal.SIGKILL)
            if self.step == script["fail_at"] and not self.resumed:
                say(Error(kind="failure", text="CUDA out of memory: 12.00 GiB wanted, 3.10 GiB free"))
                return 1
            while (self.paused or self.step == script["hold_at"]) and not self.stopping:
                self.obey(0.02)
                if not self.paused and self.commands.empty() and Path(self.run.path / "go").exists():
                    break
            self.obey()
            if self.paused or self.stopping:
                continue
            if self.step == script["fault_at"]:
                self.paused = True
                say(State(state="paused", step=self.step, reason=FAULT))
                continue
            loss = loss_at(self.step)
            step = {
                "step": self.step,
                "loss_plus": loss + 0.001,
                "loss_minus": loss - 0.001,
                "projected_grad": 1.0,
                "lr": 1e-6,
            }
            journal.append(step)
            claimed = script["seconds"]
            say(Step(**step, loss=loss, tokens=512, seconds=claimed, tokens_per_s=512 / claimed))
            self.step += 1
            if self.step % script["eval_every"] == 0:
                self.evaluate()
            if self.step % 20 == 0:
                self.telemetry()
            time.sleep(script["delay"])
        journal.close()
        stopped = self.step < script["steps"]
        if stopped:
            self.save()
        if stopped and self.fault:
            say(Error(kind="failure", text=FAULT))
            return 1
        outcome = "stopped" if stopped else "finished"
        self.run.info.update(state=outcome)
        say(Done(outcome=outcome, steps=self.step, seconds=133.4, metrics=self.metrics, run=str(self.run.path)))
        return 0


def main() -> int:
    run = RunDir(Path(sys.argv[1]))
    script = {**DEFAULTS, **json.loads(os.environ.get("SCRIPTED_ENGINE", "{}"))}
    if script["refuse"]:
        say(Error(kind="usage", text=script["refuse"]))
        return 2
    run.acquire()
    run.info.update(state="running", steps=script["steps"], pid=os.getpid())
    for number in range(20):
        print(f"engine log line {number}", file=sys.stderr, flush=True)
    engine = Engine(run, "--resume" in sys.argv, script)
    clients = ControlSocket(run, outbox, engine.listen)
    clients.open()
    try:
        return engine.main()
    finally:
        outbox.close()
        clients.close()


if __name__ == "__main__":
    code = main()
    outbox.close()
    os._exit(code)  # the thread that listens is blocked on stdin, and would trip the interpreter's end
