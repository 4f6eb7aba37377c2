"""What the pictures tell: runs from canned events on a clock of their own, and how to wait until they are drawn."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
from textual.pilot import Pilot

from engine.protocol.commands import AnyCommand
from engine.protocol.events import (
    Changed,
    Checkpoint,
    Done,
    Error,
    Eval,
    GpuReading,
    Hello,
    Log,
    Phase,
    State,
    Step,
    Telemetry,
)
from engine.runs.directory import RunDir
from tests.zotui.app.app_helpers import cockpit, until
from zotui.app.app import ZotuiApp
from zotui.app.state.feed import Begun, Ended, Feed, Item

LOOKS = ["80x24", "120x40", "200x60"]
"""Sizes of a terminal; every screen has a picture in each of them."""
NARROWEST = "60x20"
"""In which what has to be rearranged has one as well."""

NOON = 1_760_000_000.0
SHOWN = Path("/home/you/.local/share/zotui/runs")
"""Where runs are said to be, on every machine."""


class Canned:
    """A feed of given events; each moves its clock on, so that speed and estimate are the same every time."""

    def __init__(self, run: RunDir, items: list[Item], role: str = "") -> None:
        self.run = run
        self.role = role
        self.now = 0.0
        self._items = items

    def start(self) -> None: ...

    def close(self) -> None: ...

    def send(self, command: AnyCommand) -> bool:
        return True

    def drain(self) -> list[Item]:
        items, self._items = self._items, []
        return Ticking(self, items)

    def say(self, items: Iterable[Item]) -> None:
        """What is drained next."""
        self._items.extend(items)


class Ticking(list):
    """Items that take a twentieth of a second each, once."""

    def __init__(self, feed: Canned, items: list[Item]) -> None:
        super().__init__(items)
        self._feed: Canned | None = feed

    def __iter__(self) -> Iterator[Item]:
        feed, self._feed = self._feed, None
        for item in super().__iter__():
            if feed is not None:
                feed.now += 0.05
            yield item


def reading(wave: float) -> GpuReading:
    """The one GPU of the story."""
    return GpuReading(
        name="NVIDIA H200", index=0, ours=True, memory_used=int(31.2 * 2**30), memory_total=int(139.8 * 2**30),
        utilisation=0.75 + 0.15 * wave, temperature=61.0 + 4 * wave, power=420.0 + 60 * wave, power_limit=700.0,
    )  # fmt: skip


def story(run: RunDir, steps: int = 320, gpu: bool = True) -> list[Item]:
    """A run up to `steps` of 450, each of four directions."""
    device = "cuda:0 (NVIDIA H200)" if gpu else "cpu"
    events: list[Item] = [
        Begun("demo", run.preset(), 0),
        Hello(
            run=str(run.path), name=run.name, preset="demo", model="opt-reviews", runtime="vllm",
            device=device, dtype="float32", steps=450,
        ),
        Phase(name="loading model", progress=0.4),
    ]  # fmt: skip
    if steps == 0:
        return events
    events += [
        Phase(name="warm-up"),
        State(state="running", step=0),
        Log(level="info", text="self-check: both scoring paths agree to 2e-7"),
    ]
    for number in range(steps + 1):
        wave = math.sin(number / 25)
        if number % 50 == 0:
            metrics = {
                "loss": 0.66 - 0.0002 * number,
                "accuracy": 0.602 + 0.0001 * number + 0.006 * math.sin(number),
            }
            events.append(Eval(step=number, split="validation", metrics=metrics, examples=872, seconds=1.5))
        if number % 20 == 0:
            events.append(
                Telemetry(
                    kv_cache_usage=0.4 + 0.1 * wave,
                    gpu_memory_used=int(31.2 * 2**30) if gpu else None,
                    gpu_memory_total=int(139.8 * 2**30) if gpu else None,
                    gpu_utilisation=0.75 + 0.15 * wave if gpu else None,
                    rss=int((1.5 + 0.002 * number) * 2**30),
                    cpu=1.5 + 0.4 * wave,
                    gpus=[reading(wave)] if gpu else [],
                )
            )
        if number < steps:
            noise = (math.sin(number * 12.9898) * 43758.5453) % 1 - 0.5
            loss = 0.35 + 0.36 * math.exp(-number / 90) + 0.16 * noise
            taken = 0.02 + 0.004 * wave
            apart = 0.002 + 0.0005 * wave
            events.append(
                Step(
                    step=number, loss=loss, loss_plus=loss, loss_minus=loss, projected_grad=1.0,
                    losses_plus=tuple(loss + times * apart for times in (1, -1, 2, -2)), losses_minus=(loss,) * 4,
                    lr=1e-6 if number < 170 else 2e-6, eps=1e-3, tokens=512, seconds=taken, tokens_per_s=512 / taken,
                )
            )  # fmt: skip
    events.append(Checkpoint(step=steps, path="", seconds=0.21))
    return events


def eventful(run: RunDir) -> list[Item]:
    """A story with a pause, a change and a figure of what is kept of the updates; it ends paused, with a warning."""
    items: list[Item] = [*story(run)]
    measured, place = (at for at, item in enumerate(items) if isinstance(item, Step) and item.step in (150, 170))
    items[measured] = msgspec.structs.replace(items[measured], update_kept=0.9987, update_cosine=0.99912)
    changed = Changed(step=170, lr=2e-6, eps=1e-3, eval_every=0)
    items[place:place] = [State(state="paused", step=160), State(state="running", step=165), changed]
    warning = Log(level="warning", text="the disk is nearly full: 1.2 GiB are left")
    return [*items, State(state="paused", step=320), warning]


def finished(run: RunDir) -> list[Item]:
    """The end of a story that went well."""
    return [Done(outcome="finished", steps=450, seconds=133.4, metrics={}, run=str(run.path)), Ended(0)]


def died() -> list[Item]:
    """The end of one that did not."""
    return [Error(kind="failure", text="CUDA out of memory: 12.00 GiB wanted, 3.10 GiB free"), Ended(1)]


def open_on(run: RunDir, items: Iterable[Item], role: str = "") -> ZotuiApp:
    """The app on a canned feed."""
    feed = Canned(run, list(items), role)
    return clocked(feed, lambda: feed.now)


def clocked(feed: Feed | None, clock: Callable[[], float] = lambda: 0.0) -> ZotuiApp:
    """The app at noon."""
    return ZotuiApp(feed, clock=clock, wall=lambda: NOON, local=time.gmtime)


async def drawn(pilot: Pilot[int]) -> None:
    """Wait until everything of a cockpit is shown as it is."""
    await until(pilot, lambda: cockpit(pilot).run.entries, "the first event")
    await pilot.pause()  # laid out
    for _ in range(2):  # the second time with room for what the first one brought
        cockpit(pilot).redraw()
        await pilot.pause()


async def told(pilot: Pilot[int], items: Iterable[Item]) -> None:
    """Go on with the story of a canned feed."""
    watching = cockpit(pilot)
    assert isinstance(watching.feed, Canned)
    watching.feed.say(items)
    watching.drain()
    await drawn(pilot)
