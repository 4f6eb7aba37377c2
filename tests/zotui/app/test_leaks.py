"""Over thousands of steps the app does not grow: its memory, open files and threads stand still."""

from __future__ import annotations

import gc
from dataclasses import dataclass

import psutil

from tests.zotui.app.app_helpers import Launch, cockpit, until
from zotui.app.app import ZotuiApp
from zotui.app.state.feed import EngineFeed

STEPS = 6500
SETTLED = 2000  # by then the caches of what draws are full
# The app is in this process: what the interpreter keeps of freed memory moves by some MiB without a leak. A kept
# step, which is some 500 bytes, comes to 2.2 MiB over 4,500 steps, and to 4,500 objects, which do not move.
MEMORY = 8 * 2**20
OBJECTS = 3500  # the caches of the lines on the screen come and go by some 1,700


@dataclass(frozen=True)
class Size:
    """What this process holds."""

    memory: int  # bytes, resident
    objects: int
    files: int
    threads: int

    @classmethod
    def now(cls) -> Size:
        gc.collect()
        process = psutil.Process()
        return cls(process.memory_info().rss, len(gc.get_objects()), process.num_fds(), process.num_threads())


async def test_the_app_does_not_grow_while_it_watches(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(steps=STEPS + 1, hold_at=STEPS, delay=0.002, eval_every=1000, gpu=True)))
    sizes = []
    async with app.run_test(size=(120, 40)) as pilot:
        for step in range(SETTLED, STEPS + 1, 500):
            await until(pilot, lambda step=step: cockpit(pilot).run.done >= step, f"step {step}")  # type: ignore[misc]
            sizes.append(Size.now())
    first, last = sizes[0], sizes[-1]
    assert last.objects - first.objects < OBJECTS, [size.objects for size in sizes]
    assert last.memory - first.memory < MEMORY, [size.memory >> 20 for size in sizes]
    # Fewer is no growth: what other tests left in this process may go meanwhile.
    assert last.files <= first.files and last.threads <= first.threads, sizes
