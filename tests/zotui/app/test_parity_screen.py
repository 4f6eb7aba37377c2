"""The view of a comparison, on a scripted one over real pipes, and once on the real one."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from app_helpers import screen_text, until, until_shown
from app_story import Picture
from textual.pilot import Pilot

from zotui.app.app import ZotuiApp
from zotui.app.charts.chart import Chart
from zotui.app.charts.series import Series
from zotui.app.kit.help import Help
from zotui.app.parity.charts import DeviationStrip, Powers
from zotui.app.parity.screen import Parity
from zotui.app.state.feed import ComparisonFeed
from zotui.cli import app as app_
from zotui.engines.parity import Comparison

REPOSITORY = Path(__file__).parents[3]
Start = Callable[..., Comparison]

CHILD = """\
import json, math, sys, time
def say(**found):
    print(json.dumps(found), flush=True)
def log(text):
    print(text, file=sys.stderr, flush=True)
def noise(step):
    return (math.sin(step * 12.9898) * 43758.5453) % 1
def row(step, steps=120, apart=None, same=True, reference_seconds=0.2513):
    loss = 0.55 + 0.15 * math.exp(-step / 60) + 0.1 * (noise(step) - 0.5)
    apart = 1e-7 * (1 + step / 20) * (0.2 + noise(step + 0.5)) if apart is None else apart
    say(type="row", step=step, loss_plus=loss + 0.01, loss_minus=loss - 0.01, projected_grad=10.0, seconds=0.0213,
        reference_loss_plus=loss + 0.01 + apart, reference_loss_minus=loss - 0.01, reference_projected_grad=10.0,
        reference_seconds=reference_seconds, loss_diff=apart, grad_diff=0.0, same_sign=same, steps=steps)
def summary(steps, ok, largest):
    say(type="summary", steps=steps, max_loss_diff=largest, max_grad_rel_diff=7.7e-6, sign_agreement=1.0,
        first_difference=None if ok else 61, ok=ok, runtime="vllm", reference="training-loop", tolerance=1e-4)
"""
FOREVER = "time.sleep(600)\n"
LOADING = "log('opening vllm')\n" + FOREVER
RUNNING = "for step in range(57): row(step)\n" + FOREVER
WITHIN = "for step in range(120): row(step, reference_seconds=None)\nsummary(120, True, 8.1e-7)\n"
BEYOND = """
for step in range(120):
    row(step, apart=4e-8 * 1.2 ** step if 55 < step < 110 else None, same=step != 90)
summary(120, False, 4e-8 * 1.2 ** 109)
sys.exit(1)
"""
REFUSES = "log('a line'); log('zotui: p.toml: model.pathh is not known'); sys.exit(2)\n"
DIES = """
for step in range(30): row(step)
for number in range(30): log(f'Traceback, line {number}')
log('\\x1b[31mzotui: out of memory\\x1b[0m')
sys.exit(1)
"""


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a scripted comparison."""
    started: list[Comparison] = []

    def begin(body: str, source: str = "demo.toml") -> Comparison:
        monkeypatch.setattr(Comparison, "COMMAND", (sys.executable, "-c", CHILD + body))
        started.append(Comparison(Path(source), 1e-4, [], hushed=True))
        return started[-1]

    yield begin
    for comparison in started:
        comparison.close()


def app_on(comparison: Comparison) -> ZotuiApp:
    return ZotuiApp(ComparisonFeed(comparison), clock=lambda: 0.0)


def screen(pilot: Pilot[int]) -> Parity:
    """The comparison's screen."""
    found = pilot.app.screen_stack[-1]
    assert isinstance(found, Parity)
    return found


def alive(comparison: Comparison) -> bool:
    return comparison._process.poll() is None


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_shows_both_curves_and_how_far_apart_they_are(start: Start, size: tuple[int, int]) -> None:
    app = app_on(start(RUNNING))
    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "comparing", "step 57/120", "vllm", "training loop", "tolerance 0.0001")
        await until_shown(pilot, "none", "100.0%", "21 ms vs 0.25 s", "11.8x", "1e-8", "1e-4")
        await pilot.press("question_mark")
        assert isinstance(app.screen, Help)
        await until_shown(pilot, "q or escape", "a comparison that has not finished is ended")


async def test_a_long_comparison_is_drawn_twice_a_second_with_few_points(start: Start) -> None:
    app = app_on(start("for step in range(20_000): row(step, 20_000)\n" + FOREVER))
    async with app.run_test(size=(80, 24)) as pilot:
        began = time.monotonic()
        await until_shown(pilot, "step 20,000/20,000")
        for chart in pilot.app.screen.query(Chart):
            assert chart.draws <= 2 * (time.monotonic() - began) + 2
            assert all(len(drawn.x) <= 2 * chart.plot.columns for drawn in chart.plot._datasets)


async def test_says_what_it_waits_for(start: Start) -> None:
    app = app_on(start(LOADING))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "loading", "opening vllm", "elapsed 0:00")


async def test_a_long_line_of_a_library_leaves_room_for_the_time(start: Start) -> None:
    said = "(MainProcess pid=24139) INFO 11-24 03:34:12 [cpu_model_runner.py:68] Starting to load model /" + 90 * "x"
    app = app_on(start(f"log({said!r})\n" + FOREVER))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "loading  Starting to load model /xxx", "x…", "elapsed 0:00")


async def test_within_the_tolerance(start: Start) -> None:
    app = app_on(start(WITHIN, "lozo.json"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "within 0.0001", "120 steps: losses differ by up to 8.1e-07 nats", "recorded")
        await until_shown(pilot, "21 ms", "step 120/120", "vllm")
        assert app.return_value is None  # it stays
        await pilot.press("q")
    assert (app.return_value, app.refusal) == (0, "")


async def test_beyond_the_tolerance(start: Start) -> None:
    app = app_on(start(BEYOND))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "NOT within 0.0001", "first: 56", "99.2%")
        await pilot.press("escape")
    assert app.return_value == 1


async def test_a_refusal_is_said_when_the_app_has_closed(start: Start) -> None:
    app = app_on(start(REFUSES))
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.return_value is not None, "the end of the app")
    assert (app.return_value, app.refusal) == (2, "zotui: p.toml: model.pathh is not known")


async def test_a_comparison_that_dies_shows_the_end_of_its_log(start: Start) -> None:
    app = app_on(start(DIES))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "failed", "died at step 30", "zotui: out of memory", "Traceback, line 29")
        await pilot.press("q")
    assert (app.return_value, app.refusal) == (1, "zotui: out of memory")


@pytest.mark.parametrize("key", ["q", "escape", "ctrl+c"])
async def test_leaving_early_ends_the_comparison(start: Start, key: str) -> None:
    comparison = start(RUNNING)
    app = app_on(comparison)
    async with app.run_test() as pilot:
        await until_shown(pilot, "comparing")
        await pilot.press(key)
    assert app.return_value == 130
    assert not alive(comparison)


async def test_losses_that_are_not_finite_are_beyond_any_tolerance(start: Start) -> None:
    body = "row(0)\nrow(1)\nsay(**{**BAD, 'step': 2})\n" + FOREVER
    bad = "BAD = dict(type='row', steps=9, loss_plus=None, loss_minus=None, projected_grad=None, seconds=0.1, "
    bad += "reference_loss_plus=1.0, reference_loss_minus=1.0, loss_diff=None, same_sign=False)\n"
    app = app_on(start(bad + body))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "not finite", "step 2", "first: 2", "66.7%")


async def test_no_difference_at_all_is_drawn_below_all_others(start: Start) -> None:
    app = app_on(start("for step in range(5): row(step, 5, apart=0.0)\n" + FOREVER))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "step 5/5", "0.0e+00")
        strip = screen(pilot).query_one(DeviationStrip)

        def lines() -> list[str]:
            shown = screen_text(app).splitlines()[strip.region.y :]
            return [line for line in shown if "⣀" in line or "⠤" in line]

        await until(pilot, lambda: bool(lines()), "a line in the strip")
        assert len(lines()) == 1


def test_thinning_keeps_every_peak() -> None:
    series = Series(capacity=64)
    for step in range(20_000):
        series.add(step, 5.0 if step == 12_345 else step % 7 / 7)
    points = series.points(40)
    assert len(points.x) <= 40 and list(points.x) == sorted(points.x)
    assert [value for value in points.high if value > 1] == [5.0]
    peak = points.high.argmax()
    assert points.x[peak] <= 12_345 < points.x[peak + 1]


def test_powers_of_ten_at_the_axis() -> None:
    assert Powers(4, -4.3).get_ticks(-8.2, -3) == [-8.0, -6.0, -4.0]
    assert Powers(9, 0.0).get_labels_for_ticks([-7.0, 0.0]) == ["1e-7", "1e0"]


# -- as a command -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"), [(["--live"], "needs a terminal"), (["--live", "--json"], "use one of them")]
)
def test_what_live_cannot_do(options: list[str], reason: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app_(["parity", "lozo.json", *options])
    said = capfd.readouterr()
    assert (ended.value.code, said.out, len(said.err.splitlines())) == (2, "", 1)
    assert reason in said.err


def test_a_recording_is_compared_in_a_terminal(shared: Path, tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    command = ["parity", str(shared / "reference/lozo-linear.json"), "--runtime", "training-loop", "--steps", "5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "zotui", *command, "--live"],
        stdin=follower, stdout=follower, stderr=follower, cwd=tmp_path, start_new_session=True,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    os.close(follower)
    seen, end = b"", time.monotonic() + 120
    try:
        while b"5 steps: losses differ" not in seen:
            assert time.monotonic() < end, seen[-4000:]
            seen += os.read(leader, 65536)
        os.write(leader, b"q")
        while True:
            try:
                if not os.read(leader, 65536):
                    break
            except OSError:  # the terminal's other end is closed
                break
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(leader)


# -- what it looks like -----------------------------------------------------------------------------


async def settled(pilot: Pilot[int]) -> None:
    """Wait until what came is drawn."""
    for _ in range(4):  # what is laid out anew is drawn at its size in the next turn
        await pilot.pause()
        screen(pilot).redraw()


@pytest.mark.parametrize("what", ["running", "within", "beyond", "died"])
async def test_looks(look: tuple[int, int], picture: Picture, start: Start, what: str) -> None:
    body = {"running": RUNNING, "within": WITHIN, "beyond": BEYOND, "died": DIES}[what]
    app = app_on(start(body, "lozo-linear.json" if what == "within" else "opt-125m-sst2.toml"))
    async with app.run_test(size=look) as pilot:
        compared = screen(pilot).compared
        await until(pilot, lambda: compared.done == 57 if what == "running" else compared.code is not None, "all of it")
        await settled(pilot)
        await picture(pilot)
        if what == "running":
            await pilot.press("question_mark")
            await until_shown(pilot, "arrows scroll")
            await picture(pilot, "parity")


@pytest.mark.parametrize("look", ["80x24-dark"], indirect=True)
async def test_loading(look: tuple[int, int], picture: Picture, start: Start) -> None:
    async with app_on(start(LOADING)).run_test(size=look) as pilot:
        await until_shown(pilot, "opening vllm")
        await settled(pilot)
        await picture(pilot, "loading")
