"""The live view on a scripted engine: what it shows, and every way to look at it."""

from __future__ import annotations

import asyncio

import msgspec
import numpy as np
import pytest
from textual.events import MouseScrollDown
from textual.pilot import Pilot
from textual.widgets import Input, RichLog

from engine.preset.load import load
from engine.protocol.events import Changed, Eval, GpuReading, Log, State, Telemetry
from engine.runs.directory import RunDir
from engine.runs.journal import encode_line
from tests.zotui.app.app_helpers import Launch, cockpit, preset_text, screen_text, status, until, until_shown
from zotui.app.app import ZotuiApp
from zotui.app.charts.plot import Plot
from zotui.app.cockpit.layout import PANES
from zotui.app.cockpit.panes.series_chart import SeriesChart
from zotui.app.cockpit.panes.timeline import Timeline
from zotui.app.cockpit.screen import Cockpit
from zotui.app.kit.tile import Tile
from zotui.app.state.feed import EngineFeed, RecordsFeed


def chart(pilot: Pilot[int], id: str = "main-chart") -> SeriesChart:
    return cockpit(pilot).query_one(f"#{id}", SeriesChart)


def title(pilot: Pilot[int], id: str = "main-chart") -> str:
    shown = chart(pilot, id)
    return f"{shown._border_title} | {shown._border_subtitle}"


async def at_step_60(pilot: Pilot[int]) -> None:
    await until(pilot, lambda: cockpit(pilot).run.done == 60)
    cockpit(pilot).redraw()
    await until(pilot, lambda: len(chart(pilot).plot.points[0]))
    await pilot.pause()


# -- the chart --------------------------------------------------------------------------------------


async def test_every_number_that_is_logged_can_be_looked_at(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=60)))
    async with app.run_test(size=(120, 40)) as pilot:
        await at_step_60(pilot)
        cockpit(pilot).run.apply(Eval(step=55, split="validation", metrics={"f1": 0.5}, examples=1, seconds=1.0))
        seen = []
        for _ in range(10):
            await pilot.press("m")
            seen.append(title(pilot).split("  ")[0])
        assert seen == [
            "held-out accuracy", "held-out f1", "held-out loss", "|L+ − L−|", "projected gradient |g|", "learning rate",
            "tokens/s", "tokens of a step", "step time", "loss",
        ]  # fmt: skip
        await pilot.press("M", "M")
        assert title(pilot).startswith("tokens of a step  512")
        await pilot.press("tab", "m")  # the chart that has the focus
        assert title(pilot, "second-chart").startswith("held-out f1") and title(pilot).startswith("tokens of a step")


async def test_log_scale_and_smoothing(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=60)))
    async with app.run_test(size=(120, 40)) as pilot:
        await at_step_60(pilot)
        low = chart(pilot).plot.ranges[2]
        await pilot.press("L")
        assert chart(pilot).plot.ranges[3] < 0 < low and "log" in title(pilot)
        await until_shown(pilot, "0.7")  # the axis tells the numbers, not their logarithms
        await pilot.press("L")
        assert chart(pilot).plot.ranges[2] == low
        rough = np.abs(np.diff(chart(pilot).plot.points[1])).max()
        await pilot.press("right_square_bracket")
        assert np.abs(np.diff(chart(pilot).plot.points[1])).max() < rough and "smoothed over 40" in title(pilot)
        await pilot.press(*["left_square_bracket"] * 9)
        assert "not smoothed" in title(pilot)
        assert list(chart(pilot).plot.points[1]) == cockpit(pilot).run.losses.means


async def test_values_are_told_by_key_and_by_mouse(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=60)))
    async with app.run_test(size=(120, 40)) as pilot:
        await at_step_60(pilot)
        values = cockpit(pilot).run.losses.means
        await pilot.press("v")
        await until(pilot, lambda: f"step 59: {values[59]:.4f}, smoothed" in title(pilot))
        await pilot.press("left", "left", "right")
        await until(pilot, lambda: f"step 58: {values[58]:.4f}" in title(pilot))
        assert not chart(pilot).plot.zoomed  # the arrows moved the point, not the view
        await pilot.press("escape")
        await until(pilot, lambda: "step 58" not in title(pilot))
        plot = chart(pilot).plot
        await pilot.click(plot, offset=(10, 5))
        await until(pilot, lambda: plot.cursor is not None)
        clicked = plot.cursor
        await pilot.hover(plot, offset=(40, 5))
        await until(pilot, lambda: plot.cursor != clicked)
        assert clicked and plot.cursor and plot.cursor[0] > clicked[0]
        await pilot.press("v")
        assert plot.cursor is None


async def test_the_view_is_whole_free_or_follows(launch: Launch) -> None:
    engine = launch(hold_at=60)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(120, 40)) as pilot:
        await at_step_60(pilot)
        plot = chart(pilot).plot
        await pilot.press("plus", "plus", "left")
        await until(pilot, lambda: plot.view == "free" and "free" in title(pilot))
        width = plot.ranges[1] - plot.ranges[0]
        assert width < 60
        await pilot.press("w")
        await until(pilot, lambda: plot.view == "follow")
        (engine.run.path / "go").touch()
        await until(pilot, lambda: cockpit(pilot).run.outcome)
        await until(pilot, lambda: plot.ranges[1] > 199)
        assert plot.ranges[0] > 100 and plot.ranges[1] - plot.ranges[0] == pytest.approx(width, rel=0.1)
        await pilot.press("0")
        await until(pilot, lambda: plot.ranges[0] == 0)


def _at(plot: Plot, x: int, y: int) -> tuple[int, int]:
    return plot.region.x + x, plot.region.y + y


async def test_a_drag_pans_and_the_wheel_zooms(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=60)))
    async with app.run_test(size=(120, 40)) as pilot:
        await at_step_60(pilot)
        plot = chart(pilot).plot
        before = plot.ranges[1] - plot.ranges[0]
        await pilot.mouse_down(plot, offset=(30, 5))
        await pilot.hover(plot, offset=(20, 5))
        await pilot.mouse_up(plot, offset=(20, 5))
        assert plot.cursor is None  # a drag is no click
        plot.post_message(MouseScrollDown(plot, 30, 5, 0, 1, 0, False, False, False, *_at(plot, 30, 5)))
        await until(pilot, lambda: plot.view == "free" and plot.ranges[1] - plot.ranges[0] < before)


async def test_a_peak_off_the_scale_is_marked(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=60)))
    async with app.run_test(size=(120, 40)) as pilot:
        await at_step_60(pilot)
        assert "▴" not in screen_text(app)
        losses = cockpit(pilot).run.losses
        losses.extend(np.arange(60, 160), np.where(np.arange(60, 160) == 100, 50.0, 0.5))
        cockpit(pilot).run.done = 160
        cockpit(pilot).redraw()
        await until_shown(pilot, "▴")


# -- the timeline -----------------------------------------------------------------------------------


async def test_what_happened_stands_under_its_step(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=60, preset={"eval_every": "1000"})))
    async with app.run_test(size=(120, 40)) as pilot:
        await at_step_60(pilot)
        run = cockpit(pilot).run
        run.fold_every = 20
        run.apply(Changed(step=30, lr=2e-6, eps=1e-3, eval_every=25))
        run.apply(State(state="paused", step=35))
        run.apply(State(state="running", step=45))
        cockpit(pilot).redraw()
        await until_shown(pilot, "● eval", "· fold", "▲ change", "‖ pause", "▶ on", "lr 1e-06 → 2e-06")
        strip = cockpit(pilot).query_one(Timeline)
        row = screen_text(app).splitlines()[strip.region.y]
        plot = chart(pilot).plot
        for step, sign in ((0, "●"), (20, "·"), (30, "▲"), (35, "‖"), (40, "·"), (45, "▶"), (50, "●")):
            x = plot.get_pixel_from_coordinate(step, 0)[0] + plot.query_one("#plot").region.x
            assert row[x] == sign, (step, row)


async def test_there_is_no_timeline_where_there_is_no_room(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=60)))
    async with app.run_test(size=(80, 24)) as pilot:
        await at_step_60(pilot)
        assert not cockpit(pilot).query_one(Timeline).display
        await pilot.press("z")
        await until(pilot, lambda: cockpit(pilot).query_one(Timeline).display)
        await until_shown(pilot, "● eval")


# -- tiles and progress -----------------------------------------------------------------------------


def reading(index: int, *, ours: bool = False) -> GpuReading:
    return GpuReading(
        name="NVIDIA H200", index=index, ours=ours, memory_used=(31 + index) * 2**30, memory_total=140 * 2**30,
        utilisation=0.5, temperature=60.0 + index, power=410.0, power_limit=700.0,
    )  # fmt: skip


async def test_every_gpu_has_its_figures_the_runs_own_first(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=10)))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done == 10)
        telemetry = Telemetry(
            kv_cache_usage=0.5, gpu_memory_used=1, gpu_memory_total=2, gpu_utilisation=0.5, rss=2**30, cpu=1.0,
            gpus=[reading(0), reading(1, ours=True), reading(2)],
        )  # fmt: skip
        cockpit(pilot).run.apply(telemetry)
        cockpit(pilot).redraw()
        await until_shown(
            pilot, "GPU 1 of 3", "32.0/140 GiB", "61 °C", "410 W", "of 700 W", "31.0/140 GiB", "33.0/140 GiB"
        )
        await until_shown(pilot, "50% 60° 410 W", "+ app")
        for tile in cockpit(pilot).query(Tile):
            assert app.screen.region.contains_region(tile.region) and tile.size.width >= 14
        cockpit(pilot).run.apply(msgspec.structs.replace(telemetry, gpus=[reading(1, ours=True)]))
        cockpit(pilot).redraw()


async def test_progress_tells_the_best_and_the_time_it_took(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=60)))
    async with app.run_test(size=(120, 40)) as pilot:
        await at_step_60(pilot)
        # 50 steps of 21.3 ms; evaluations do not count
        assert "best held-out accuracy 0.612 at step 50, after 1.06 s of steps" in status(pilot)
        assert "best 0.612 at 50, 1.06 s" in title(pilot, "second-chart")


# -- the log ----------------------------------------------------------------------------------------


async def test_the_log_is_filtered_as_one_types_and_by_level(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=60)))
    async with app.run_test(size=(120, 40)) as pilot:
        await at_step_60(pilot)
        run = cockpit(pilot).run
        run.apply(Log(level="warning", text="a disk is nearly full"))
        cockpit(pilot).redraw()
        lines = cockpit(pilot).query_one("#events RichLog", RichLog)
        every = len(run.entries)
        await pilot.press("slash", *"eval q")
        await until_shown(pilot, f"events  0 of {every}")  # q was typed, no key of the cockpit
        await pilot.press("backspace", "backspace")
        await until_shown(pilot, f"events  2 of {every}")
        run.apply(Eval(step=55, split="validation", metrics={"accuracy": 0.9}, examples=1, seconds=1.0))
        cockpit(pilot).redraw()
        await until_shown(pilot, f"events  3 of {every + 1}")
        await pilot.press("enter")
        assert app.focused is lines and "eval" in cockpit(pilot).query_one(Input).value
        await pilot.press("escape")
        await until(pilot, lambda: "events  3" not in screen_text(app))
        await pilot.press("ctrl+l", "ctrl+l")
        await until_shown(pilot, f"events  1 of {every + 1}  warnings", "a disk is nearly full")
        await pilot.press("ctrl+l", "ctrl+l")
        await until(pilot, lambda: len(lines.lines) >= every)


# -- panes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_panes_can_be_hidden_and_be_alone(launch: Launch, size: tuple[int, int]) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=60, gpu=True)))
    async with app.run_test(size=size) as pilot:
        await at_step_60(pilot)
        for key, name in enumerate(PANES, 1):
            pane = cockpit(pilot).query_one(f"#{name}")
            shown = pane.display and pane.size.area > 0
            assert shown or (name == "signal" and size == (80, 24))
            await pilot.press(str(key))
            assert pane.display is not shown
            await pilot.press(str(key))
            await until(pilot, lambda pane=pane, shown=shown: (pane.display and pane.size.area > 0) == shown)  # type: ignore[misc]
        for name, focus in (("main-chart", "#main-chart Plot"), ("events", "#events RichLog"), ("tiles", "#tiles")):
            cockpit(pilot).query_one(focus).focus()
            await pilot.press("z")
            pane = cockpit(pilot).query_one(f"#{name}")
            await until(pilot, lambda pane=pane: pane.size.area > 0.6 * size[0] * size[1])  # type: ignore[misc]
            assert [other for other in PANES if cockpit(pilot).query_one(f"#{other}").display] == [name]
            await pilot.press("escape")
            await until(pilot, lambda: cockpit(pilot).query_one("#second-chart").size.area > 0)
        assert app.screen is cockpit(pilot)


async def test_without_any_pane_the_screen_says_how_to_get_them_back(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(hold_at=60)))
    async with app.run_test(size=(120, 40)) as pilot:
        await at_step_60(pilot)
        await pilot.press(*"1234")
        assert "every pane is hidden" not in screen_text(app)
        await pilot.press("5")
        await until_shown(pilot, "every pane is hidden: the help tells the keys that show them")
        await pilot.press("4")
        await until(pilot, lambda: "every pane is hidden" not in screen_text(app))


async def test_the_choice_of_panes_holds_while_the_app_is_open(launch: Launch) -> None:
    engine = launch(steps=20)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "● finished")
        await pilot.press("3", "5")
        app._open(RecordsFeed(engine.run))
        await until_shown(pilot, "read-only", "20 of 20")
        assert [name for name in PANES if not app.screen.query_one(f"#{name}").display] == ["tiles", "events"]


# -- what it costs ----------------------------------------------------------------------------------


async def test_a_run_of_50_steps_a_second_is_shown_and_painted_once_a_second(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = ZotuiApp(EngineFeed(launch(steps=100_000, delay=0.02, hold_at=300, gpu=True, eval_every=10_000)))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done > 60)  # what a start paints has settled
        shown: list[float] = []
        painted: list[float] = []
        screen, loop = cockpit(pilot), asyncio.get_running_loop()
        show, paint = screen._show, screen._compositor_refresh

        def counted(*, now: bool) -> None:
            shown.append(loop.time())
            show(now=now)

        def painting() -> None:
            painted.append(loop.time())
            paint()

        monkeypatch.setattr(screen, "_show", counted)
        monkeypatch.setattr(screen, "_compositor_refresh", painting)
        begun, draws = loop.time(), chart(pilot).draws
        await until(pilot, lambda: cockpit(pilot).run.done == 300)
        took = loop.time() - begun
        assert took > 2 and 2 <= len(shown) <= took + 2
        # A drawing is not painted by itself, after the rest, but where this process is held up between the two.
        assert 2 <= len(painted) <= 2 * len(shown) + 3
        assert chart(pilot).draws - draws <= took + 2


async def test_a_long_run_is_open_after_few_batches_and_is_styled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    again: list[str] = []  # stylings of the whole screen besides the one that mounting does
    monkeypatch.setattr(Cockpit, "update_node_styles", lambda self, animate=True: again.append(str(self.classes)))
    run = RunDir.create(load("demo", preset_text(steps=30_000)), "demo")
    run.journal_file.write_bytes(
        b"".join(encode_line({"step": n, "loss_plus": n % 5, "loss_minus": 1.0, "seconds": 0.1}) for n in range(30_000))
    )
    run.info.update(state="finished", steps=30_000)
    items = list(RecordsFeed(run)._read())
    assert len(items) < 10
    app = ZotuiApp(RecordsFeed(run))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: chart(pilot).plot.ranges[1] > 30_000)
        assert chart(pilot).draws <= 3 and not again
        assert {"-normal", "-tall", "-ended"} <= cockpit(pilot).classes
        assert len(chart(pilot).plot.points[0]) <= 2 * chart(pilot).plot.columns + 1
