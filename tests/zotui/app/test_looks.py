"""Snapshots of what the screens look like, from canned events on a clock of their own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from app_helpers import cockpit, preset_text, until, until_shown
from textual.pilot import Pilot

from engine.journal import encode_line
from engine.messages import (
    AnyCommand,
    AnyEvent,
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
from engine.preset import load
from engine.rundir import RunDir
from zotui.app.application import ZotuiApp
from zotui.app.feed import Ended, Item
from zotui.app.gauges import OwnUse

SIZES = [(80, 24), (120, 40), (200, 60)]
NOON = 1_760_000_000.0
SnapCompare = Callable[..., bool]


def named(size: tuple[int, int]) -> str:
    """A size in the name of a test."""
    return f"{size[0]}x{size[1]}"


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


def story(run: RunDir, steps: int = 320, gpu: bool = True) -> list[AnyEvent]:
    """A run up to `steps` of 450."""
    device = "cuda:0 (NVIDIA H200)" if gpu else "cpu"
    events: list[AnyEvent] = [
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
            events.append(
                Step(
                    step=number, loss=loss, loss_plus=loss, loss_minus=loss, projected_grad=1.0,
                    lr=1e-6, tokens=512, seconds=taken, tokens_per_s=512 / taken,
                )
            )  # fmt: skip
    events.append(Checkpoint(step=steps, path="", seconds=0.21))
    return events


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, home: Path) -> RunDir:
    """A run whose folder is called the same on every machine."""
    created = RunDir.create(load("demo", preset_text(steps=450)), "demo", home / "runs" / "demo-20251009-085320")
    log = [f"INFO worker: line {n} of the engine's log" for n in range(40)]
    shown = Path("/home/you/.local/share/zotui/runs") / created.name
    monkeypatch.setattr(created, "path", shown)
    monkeypatch.setattr(created, "log_file", shown / "engine.log")
    monkeypatch.setattr(created, "log_tail", lambda lines: log[-lines:])
    monkeypatch.setattr(OwnUse, "now", lambda: OwnUse(int(0.09 * 2**30), 0.03))
    monkeypatch.setattr("zotui.app.widgets.verdict.runs_home", lambda: shown.parent)
    return created


def open_on(run: RunDir, items: list[Item], role: str = "") -> ZotuiApp:
    feed = Canned(run, items, role)
    return ZotuiApp(feed, clock=lambda: feed.now, wall=lambda: NOON, local=time.gmtime)


async def drawn(pilot: Pilot[int]) -> None:
    """Wait until everything is shown as it is."""
    await until(pilot, lambda: cockpit(pilot).run.entries, "the first event")
    await pilot.pause()  # laid out
    for _ in range(2):  # the second time with room for what the first one brought
        cockpit(pilot).redraw()
        await pilot.pause()


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_cockpit(snap_compare: SnapCompare, run: RunDir, size: tuple[int, int]) -> None:
    assert snap_compare(open_on(run, story(run)), terminal_size=size, run_before=drawn)


@pytest.mark.parametrize(
    ("size", "ended"), [((80, 24), False), ((120, 40), False), ((120, 40), True)], ids=["80x24", "120x40", "finished"]
)
def test_update_kept(snap_compare: SnapCompare, run: RunDir, size: tuple[int, int], ended: bool) -> None:
    items = story(run)
    last = next(place for place, event in enumerate(items) if isinstance(event, Step) and event.step == 300)
    items[last] = msgspec.structs.replace(items[last], update_kept=0.9987, update_cosine=0.99912)
    done = Done(outcome="finished", steps=450, seconds=133.4, metrics={}, run=str(run.path))
    app = open_on(run, [*items, done, Ended(0)] if ended else items)
    assert snap_compare(app, terminal_size=size, run_before=drawn)


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_starting(snap_compare: SnapCompare, run: RunDir, size: tuple[int, int]) -> None:
    assert snap_compare(open_on(run, story(run, steps=0)), terminal_size=size, run_before=drawn)


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_finished(snap_compare: SnapCompare, run: RunDir, size: tuple[int, int]) -> None:
    done = Done(outcome="finished", steps=450, seconds=133.4, metrics={}, run=str(run.path))
    app = open_on(run, [*story(run, steps=450, gpu=False), done, Ended(0)])
    assert snap_compare(app, terminal_size=size, run_before=drawn)


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_died(snap_compare: SnapCompare, run: RunDir, size: tuple[int, int]) -> None:
    error = Error(kind="failure", text="CUDA out of memory: 12.00 GiB wanted, 3.10 GiB free")
    assert snap_compare(open_on(run, [*story(run), error, Ended(1)]), terminal_size=size, run_before=drawn)


@pytest.mark.parametrize("size", SIZES[:2], ids=named)
def test_attached(snap_compare: SnapCompare, run: RunDir, size: tuple[int, int]) -> None:
    assert snap_compare(open_on(run, story(run), "attached"), terminal_size=size, run_before=drawn)


@pytest.mark.parametrize("way", ["go-on", "stop", "saving"])
def test_question(snap_compare: SnapCompare, run: RunDir, way: str) -> None:
    async def ask(pilot: Pilot[int]) -> None:
        await drawn(pilot)
        await until_shown(pilot, "checkpoint of step")  # what lies under it is not drawn again
        await pilot.press("q")
        await until_shown(pilot, "Keep wa", "checkpoint of step")

    if way == "stop":
        run.preset_file.write_text(load("demo", preset_text(), ["run.when_app_leaves=stop"]).to_toml())
    items = [*story(run), State(state="stopping", step=320)] if way == "saving" else story(run)
    assert snap_compare(open_on(run, items), run_before=ask)


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_light(snap_compare: SnapCompare, run: RunDir, size: tuple[int, int]) -> None:
    async def lighten(pilot: Pilot[int]) -> None:
        await drawn(pilot)
        await pilot.press("t")
        await drawn(pilot)

    assert snap_compare(open_on(run, story(run)), terminal_size=size, run_before=lighten)


LOOKS = {"maximised": ["z"], "inspected": ["v", *["left"] * 9], "log-scale": ["m", "m", "m", "m", "m", "L"]}


@pytest.mark.parametrize("size", SIZES, ids=named)
@pytest.mark.parametrize("look", LOOKS)
def test_chart(snap_compare: SnapCompare, run: RunDir, size: tuple[int, int], look: str) -> None:
    async def look_at_it(pilot: Pilot[int]) -> None:
        await drawn(pilot)
        await pilot.press(*LOOKS[look])
        await drawn(pilot)

    assert snap_compare(open_on(run, story(run)), terminal_size=size, run_before=look_at_it)


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_paused(snap_compare: SnapCompare, run: RunDir, size: tuple[int, int]) -> None:
    items: list[Item] = [*story(run)]
    changed = Changed(step=170, lr=2e-6, eps=1e-3, eval_every=50)
    place = next(at for at, item in enumerate(items) if isinstance(item, Step) and item.step == 170)
    items[place:place] = [State(state="paused", step=160), State(state="running", step=165), changed]
    items += [State(state="paused", step=320), Log(level="warning", text="the disk is nearly full: 1.2 GiB are left")]
    app = open_on(run, items)
    assert snap_compare(app, terminal_size=size, run_before=drawn)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", SIZES, ids=named)
def test_events(snap_compare: SnapCompare, run: RunDir, size: tuple[int, int], theme: str) -> None:
    """Filtered, and beside it all GPUs of a machine."""

    async def filter_them(pilot: Pilot[int]) -> None:
        await drawn(pilot)
        if theme == "light":
            await pilot.press("t")
        await pilot.press("slash", *"acc")
        await drawn(pilot)

    items = [
        msgspec.structs.replace(
            item,
            gpus=[
                *(msgspec.structs.replace(one, index=index, ours=False) for index in range(3) for one in item.gpus),
                *(msgspec.structs.replace(one, index=3) for one in item.gpus),
            ],
        )
        if isinstance(item, Telemetry)
        else item
        for item in story(run)
    ]
    assert snap_compare(open_on(run, items), terminal_size=size, run_before=filter_them)


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_start_screen(
    snap_compare: SnapCompare, home: Path, write_preset: Callable[[str, str], Path], size: tuple[int, int]
) -> None:
    write_preset("demo", preset_text("Sentiment on a small OPT, minutes on a laptop", steps=450))
    write_preset("opt-13b-sst2", preset_text("OPT-13B on SST-2, the published setting", "facebook/opt-13b", 20_000))
    write_preset("tickets", preset_text().replace("steps", "stepz"))
    for name, standing, done, steps, accuracy, ago in (
        ("demo-20251009-085320", "finished", 450, 450, 0.652, 600),
        ("opt-13b-sst2-20251008-221000", "stopped", 12_450, 20_000, 0.911, 40_000),
        ("demo-20251007-090000", "running", 120, 450, 0.611, 90_000),
        ("tickets-20251004-101500", "failed", 31, 5_000, None, 400_000),
    ):
        run = RunDir.create(load("demo", preset_text(steps=steps)), name.rsplit("-", 2)[0], home / "runs" / name)
        run.update_info(state=standing, started=NOON - ago, steps=steps)
        run.journal_file.write_bytes(encode_line({"step": done - 1}))
        if accuracy is not None:
            run.add_evaluation({"step": done, "metrics": {"loss": 0.6, "accuracy": accuracy}})

    async def filled(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "4 days", "12,450/20,000", "fits")
        await pilot.pause()

    assert snap_compare(ZotuiApp(wall=lambda: NOON), terminal_size=size, run_before=filled)
