"""The comparison in the app: from the list of runs to the curves, and away with the values."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.runs.directory import RunDir
from tests.zotui.app.app_helpers import Launch, screen_text, until, until_shown
from tests.zotui.recorded_runs import line, recorded, three
from zotui.app.app import ZotuiApp
from zotui.app.compare.chart import CompareChart
from zotui.app.compare.screen import Compare
from zotui.app.compare.table import CompareTable
from zotui.app.kit.help import Help
from zotui.app.kit.take_away import TakeAway
from zotui.app.start.run_list import RunList
from zotui.app.start.screen import Start
from zotui.app.state.feed import RecordsFeed
from zotui.text import numbers


@pytest.fixture
def runs(home: Path) -> list[RunDir]:
    return three(home / "runs")


@pytest.fixture
def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a comparison reads, what a key asks for is drawn when it has read: no reading comes in between here."""
    monkeypatch.setattr("zotui.app.compare.screen.READ_EVERY", 3600.0)


def chart(pilot: Pilot[int]) -> CompareChart:
    return pilot.app.screen.query_one(CompareChart)


def drawn(pilot: Pilot[int]) -> tuple[str, str]:
    return str(chart(pilot).border_title), str(chart(pilot).border_subtitle)


async def open_compare(pilot: Pilot[int], runs: list[RunDir]) -> Compare:
    screen = Compare(runs)
    await pilot.app.push_screen(screen)
    await until_shown(pilot, "train loss")
    await until(pilot, lambda: chart(pilot).draws and not screen._reading, "curves")
    return screen


async def test_marked_runs_are_compared_and_q_comes_back(runs: list[RunDir]) -> None:
    app = ZotuiApp()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until_shown(pilot, "opt-1.3b-sst2-20261121-120000")
        app.screen.query_one(RunList).focus()
        await pilot.press("space")
        await until_shown(pilot, "● opt-1.3b")
        await pilot.press("x")
        await until_shown(pilot, "mark two runs or more with space")
        assert isinstance(app.screen, Start)
        await pilot.press("space", "x")
        await until_shown(pilot, "compare", "2 runs", "run.seed", "train loss")
        assert isinstance(app.screen, Compare)
        assert len(app.screen.curves) == 2
        await pilot.press("question_mark")
        assert isinstance(app.screen, Help)
        await until_shown(pilot, "over steps, time or tokens", "the next series")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, Start))
        assert screen_text(app).count("● opt-1.3b") == 2


async def test_a_mark_is_taken_away_again(runs: list[RunDir]) -> None:
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "opt-1.3b-sst2-20261121-120000")
        app.screen.query_one(RunList).focus()
        await pilot.press("space", "up", "space")
        assert app.screen.query_one(RunList).marked == []
        await pilot.press("down", "space")
        assert len(app.screen.query_one(RunList).marked) == 1


@pytest.mark.usefixtures("read_once")
async def test_keys_change_the_view(runs: list[RunDir]) -> None:
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_compare(pilot, runs)
        assert drawn(pilot) == ("loss", "steps   smoothed over 100")
        await pilot.press("x")
        assert drawn(pilot)[1] == "time of the steps, seconds   smoothed over 100"
        await pilot.press("x", "right_square_bracket")
        assert drawn(pilot)[1] == "tokens scored, thousands   smoothed over 200"
        await pilot.press("left_square_bracket", "left_square_bracket", "L")
        assert drawn(pilot) == ("loss, logarithmic", "tokens scored, thousands   smoothed over 50")
        await pilot.press("L", "x")
        seen = []
        for _ in range(9):
            await pilot.press("m")
            seen.append(drawn(pilot)[0])
        assert seen == [
            *("held-out accuracy", "held-out loss", "|L+ − L−|", "projected gradient |g|", "learning rate"),
            *("tokens/s", "tokens of a step", "step time", "loss"),
        ]
        assert screen.view.axis == "step"


@pytest.mark.usefixtures("read_once")
async def test_a_zoom_shows_more_points_of_less_and_another_axis_all(runs: list[RunDir]) -> None:
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_compare(pilot, runs)
        plot = chart(pilot).plot
        sparse = plot.traces[0].x[1] - plot.traces[0].x[0]
        for _ in range(8):
            plot.action_zoom_x_in()
        await pilot.pause()
        screen.redraw()
        points = plot.traces[0].x
        assert points[1] - points[0] < sparse and len(points) <= 2 * plot.columns + 2
        await pilot.press("x")
        assert not plot.zoomed
        assert plot.traces[1].x[-1] == pytest.approx(110, rel=0.01)  # seconds: the slow one, to its end


async def test_colours_and_numbers_tell_curves_apart(runs: list[RunDir]) -> None:
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await open_compare(pilot, runs)
        lines = chart(pilot).plot.traces
        assert [mark.sign for mark in lines[3:]] == ["1", "2", "3"]
        assert len({mark.style for mark in lines[3:]}) == 3
        await until_shown(pilot, "1 ━━ opt-1.3b-sst2-20261120-101500", "3 ━━ opt-1.3b-sst2-seed-1-20261122")


async def test_a_live_run_is_followed(runs: list[RunDir], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zotui.app.compare.screen.READ_EVERY", 0.1)
    runs[2].info.update(state="running")
    runs[2].acquire()
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_compare(pilot, runs)
        await until_shown(pilot, "1 live", "1,400 of 2,000")
        with runs[2].journal_file.open("ab") as journal:
            journal.write(b"".join(line(step, 1, 1.2) for step in range(1400, 1500)))
        await until_shown(pilot, "1,500 of 2,000")
        assert [len(run) for run in screen.curves] == [2000, 2000, 1500]
        runs[2]._lock._held.release()
        runs[2].info.update(state="stopped")
        await until(pilot, lambda: "live" not in screen_text(app), "the end of it")


async def test_a_damaged_run_is_shown_in_part(runs: list[RunDir]) -> None:
    lines = runs[1].journal_file.read_bytes().splitlines(keepends=True)
    runs[1].journal_file.write_bytes(b"".join([*lines[:50], b"{}\n", *lines[51:]]))
    app = ZotuiApp()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await open_compare(pilot, runs)
        await until_shown(pilot, "is shown in part", "50 of 2,000", "2,000 of 2,000")


@pytest.mark.parametrize(
    "record",
    [
        {"step": 60, "metrics": {"[red]x[/b]\x1b[2J": 0.5}},
        {"step": -9, "metrics": {"loss": 0.5}},
        {"step": 60, "metrics": [1]},
    ],
    ids=["markup", "no step", "no metrics"],
)
async def test_what_an_evaluation_holds_is_not_obeyed(home: Path, record: dict[str, object]) -> None:
    runs = [recorded(home / "runs" / f"r{number}", 60, seed=number, every=30) for number in range(2)]
    runs[1].add_evaluation(record)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await open_compare(pilot, runs)
        for _ in range(4):
            await pilot.press("m", "x")
            await pilot.pause()
        await until_shown(pilot, "train loss", "60 of 2,000")


async def test_many_runs_are_rows(home: Path) -> None:
    runs = [recorded(home / "runs" / f"demo-seed-{seed}", 60, seed=seed, every=30) for seed in range(8)]
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(pilot, runs)
        assert app.screen.query_one(CompareTable).row_count == 8
        await until_shown(pilot, "run.seed", "demo-seed-3")


async def test_values_are_copied_and_written_beside_the_run(runs: list[RunDir]) -> None:
    app = ZotuiApp(RecordsFeed(runs[0]))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "2,000")
        await pilot.press("y")
        await until_shown(pilot, "take away", "Files go into")
        await pilot.press("c")
        await until_shown(pilot, "Copied")
        assert "held-out accuracy\t0.595 → 0.927" in app.clipboard.splitlines()
        folder = runs[0].path / "exports"
        for key, kind in (("v", "csv"), ("j", "json"), ("v", "csv")):
            before = len(list(folder.glob("*")))
            await pilot.press(key)
            await until(pilot, lambda before=before: len(list(folder.glob("*"))) > before, kind)
            await until_shown(pilot, "Written")
        names = sorted(file.name for file in folder.iterdir())
        stem = f"{runs[0].name}-step-2000"
        assert names == [f"{stem}-2.csv", f"{stem}.csv", f"{stem}.json"]
        assert json.loads((folder / f"{stem}.json").read_text())["steps"]["step"][-1] == 1999
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, TakeAway))


def exporter(tmp_path: Path, body: str) -> str:
    """A program in the place of the engine's export; its process has the real one's arguments."""
    program = tmp_path / "exporter"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return str(program)


async def test_a_model_and_an_adapter_of_a_run_are_exported_at_the_last_step_or_the_best(
    runs: list[RunDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, told = runs[0], tmp_path / "told"
    write = f'echo "$@" >> {told}\nmkdir -p "$5"'
    monkeypatch.setattr("zotui.app.kit.take_away.sys.executable", exporter(tmp_path, write))
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await app.push_screen(TakeAway([run]))
        await until_shown(pilot, "adapter", "are of the last one; b for the best")
        for keys, written in (("a", "adapter-last"), ("bm", "merged-best"), ("m", "merged-best-2")):
            await pilot.press(*keys)
            await until(pilot, lambda to=f"{run.name}-{written}": (run.path / "exports" / to).is_dir())
            await until_shown(pilot, "Written")
    stem = f"-P -m engine.export {run.path} {run.path}/exports/{run.name}"
    assert told.read_text().splitlines() == [
        f"{stem}-adapter-last --format adapter --step last",
        f"{stem}-merged-best --format merged --step best",
        f"{stem}-merged-best-2 --format merged --step best",
    ]


async def test_an_export_that_is_refused_says_why_and_one_that_is_left_ends(
    runs: list[RunDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await app.push_screen(TakeAway(runs[:1]))
        refuse = "echo line >&2\necho 'zotui: --format adapter: not for mezo' >&2\nexit 2"
        monkeypatch.setattr("zotui.app.kit.take_away.sys.executable", exporter(tmp_path, refuse))
        await pilot.press("a")
        await until_shown(pilot, "--format adapter: not for mezo")
        wait = f"trap 'touch {tmp_path}/ended; exit' TERM\ntouch {tmp_path}/begun\nread x < {tmp_path}/pipe"
        os.mkfifo(tmp_path / "pipe")
        monkeypatch.setattr("zotui.app.kit.take_away.sys.executable", exporter(tmp_path, wait))
        await pilot.press("m")
        await until(pilot, lambda: (tmp_path / "begun").exists())
        await pilot.press("escape")
        await until(pilot, lambda: (tmp_path / "ended").exists())


async def test_of_several_runs_there_is_no_model(runs: list[RunDir]) -> None:
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await app.push_screen(TakeAway(runs))
        await until_shown(pilot, "take away", "a row for every step")
        await pilot.press("m", "a", "b")
        await pilot.pause()
        assert not list(Path(runs[0].path).glob("exports")) and "adapter" not in screen_text(app)


async def test_a_comparison_is_written_as_one_chart(runs: list[RunDir], home: Path) -> None:
    pytest.importorskip("matplotlib")
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await open_compare(pilot, runs)
        await pilot.press("x", "y", "s")
        await until_shown(pilot, "Written")
        written = (home / "exports" / "compare-3-runs.svg").read_text()
        assert "</svg>" in written


async def test_without_matplotlib_charts_say_what_they_need(
    runs: list[RunDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zotui.runs.export_charts.find_spec", lambda name: None)
    app = ZotuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await app.push_screen(TakeAway(runs[:1]))
        await until_shown(pilot, "charts need matplotlib: pip install 'zotui[charts]'")
        await pilot.press("p")
        await pilot.pause()
        assert not (runs[0].path / "exports").exists()


async def test_a_live_cockpit_takes_away(launch: Launch) -> None:
    from zotui.app.state.feed import EngineFeed

    engine = launch(steps=20)
    app = ZotuiApp(EngineFeed(engine))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "● finished")
        await pilot.press("y")
        await until_shown(pilot, "take away", "a row for every step")


def test_long_names_are_told_apart_by_where_they_differ() -> None:
    names = [f"demo-seed-{seed}-20261120-101500" for seed in range(2)]
    assert numbers.told_apart(names, 16) == ["…o-seed-0-20261…", "…o-seed-1-20261…"]
    assert numbers.told_apart(["a", "b"], 16) == ["a", "b"]
    for width in range(4, 40):
        for known in (["x" * 30, "y" * 40, "xy" * 20], names, ["a" + "-" * 40, "b" + "-" * 40], ["-" * 40, "-" * 39]):
            assert all(len(name) <= width for name in numbers.told_apart(known, width))
