"""`python -m tests.start_time [--without]`: from enter on the demo's preflight to its first phase and its first step.

The app as a user has it, on real engines, with a spare one ready or (`--without`) none. The demo is built first,
in the ZOTUI_HOME that is set. Needs a quiet machine; no test asserts what it finds.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from zotui.app.app import ZotuiApp
from zotui.app.cockpit.panes.status import StatusLine
from zotui.app.preset.preflight import Preflight
from zotui.engines.keeper import SpareKeeper

PATIENCE = 120.0  # seconds
PREFLIGHT = 12.0  # seconds that a user takes over it; it is done by then


async def measure(with_spare: bool) -> tuple[float, float]:
    """Seconds from enter until a phase is drawn, and until the first step is seen."""
    keeper = SpareKeeper() if with_spare else None
    app = ZotuiApp(keeper=keeper)
    drawn: list[float] = []
    draw = StatusLine.refresh_status

    def watched(line: StatusLine, run: object) -> None:
        draw(line, run)  # type: ignore[arg-type]
        if getattr(run, "phase", None) is not None:
            drawn.append(time.monotonic())

    StatusLine.refresh_status = watched  # type: ignore[assignment,method-assign]
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("enter")
        await _until(pilot, lambda: isinstance(app.screen, Preflight))
        await asyncio.sleep(PREFLIGHT)
        if keeper is not None:
            await _until(pilot, lambda: keeper.spare is not None and _is_ready(keeper.spare.pid))
        began = time.monotonic()
        await pilot.press("enter")
        await _until(pilot, lambda: app.cockpit is not None and app.cockpit.run.done)
        stepped = time.monotonic()
        app.cockpit.feed.close()  # type: ignore[union-attr]
        app.cockpit._launched.kill()  # type: ignore[union-attr]
        if keeper is not None:
            keeper.close()
        app.exit(0)
    StatusLine.refresh_status = draw  # type: ignore[method-assign]
    return drawn[0] - began, stepped - began


def _is_ready(pid: int) -> bool:
    return "ready for" in Path(f"/proc/{pid}/fd/2").read_text()


async def _until(pilot: Pilot[int], condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, pilot.app.screen
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    subprocess.run([sys.executable, "-m", "zotui", "run", "demo", "--headless", "--set", "run.steps=1"], check=True)
    wanted = "--without" not in sys.argv
    for _ in range(3):
        phase, step = asyncio.run(measure(wanted))
        spare = "a spare engine" if wanted else "no spare engine"
        print(f"{spare}: first phase after {phase:.2f} s, first step after {step:.2f} s", flush=True)
