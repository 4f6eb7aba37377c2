"""A run of which only the records are watched shows in its tiles what it took."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.runs.directory import RunDir
from engine.runs.journal import encode_line
from tests.zotui.app.app_helpers import until_shown
from tests.zotui.recorded_runs import recorded, take
from zotui.app.app import ZotuiApp
from zotui.app.kit.tile import Tile
from zotui.app.state.feed import RecordsFeed


@pytest.mark.parametrize("gpu", [True, False])
async def test_the_tiles_of_a_finished_run_show_its_recorded_figures_and_say_what_they_are(
    home: Path, gpu: bool
) -> None:
    run = recorded(home / "runs" / "r", 60, every=30)
    take(run)
    if not gpu:
        (line,) = run.usage()
        bare = msgspec.structs.replace(line, gpus=[], kv_cache_usage_peak=None)
        run.usage_file.write_bytes(encode_line(msgspec.to_builtins(bare)))
    shown = await tiles(run)
    assert shown["memory"] == ("2.50 GiB", "peak") and shown["cpu"] == ("180%", "mean")
    assert shown["gpu"] == (("31.2/140 GiB", "peak") if gpu else ("no GPU", "on the CPU"))
    assert shown["kv"] == (("52%", "peak") if gpu else ("–", ""))


async def test_the_tiles_of_a_run_without_such_a_record_show_nothing_there(home: Path) -> None:
    run = recorded(home / "runs" / "r", 60, every=30)
    assert {figure for figure, _ in (await tiles(run)).values()} == {"–"}


async def tiles(run: RunDir) -> dict[str, tuple[str, str]]:
    app = ZotuiApp(RecordsFeed(run))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "read-only", "60 of 2,000")
        app.screen._show(now=True)
        named = {name: app.screen.query_one(f"#tile-{name}", Tile) for name in ("kv", "gpu", "memory", "cpu")}
        return {name: (tile.text, str(tile.border_subtitle or "")) for name, tile in named.items()}
