"""Snapshots of what the habits of users change: help, palette, colours, ASCII; and that nothing is cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from app_helpers import cockpit, preset_text, screen_text, until, until_shown
from test_looks import drawn, named, open_on, story
from test_looks import run as run  # the fixture
from textual.pilot import Pilot

from engine.messages import Done, Error, State
from engine.preset import load
from engine.rundir import RunDir
from zotui.app.application import ZotuiApp
from zotui.app.feed import Ended
from zotui.app.filters import as_ascii
from zotui.app.widgets.key_bar import KeyBar

SIZES = [(80, 24), (120, 40)]
SnapCompare = Callable[..., bool]
Prepare = Callable[[Pilot[int]], object]


@pytest.fixture
def start_screen(home: Path, write_preset: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Presets and runs to list."""
    write_preset("demo", preset_text("Sentiment on a small OPT, minutes on a laptop", steps=450))
    write_preset("opt-13b-sst2", preset_text("OPT-13B on SST-2, the published setting", "facebook/opt-13b", 20_000))
    for name, standing in (("demo-20251006-120000", "finished"), ("[b]demo-20251008-221000", "stopped")):
        made = RunDir.create(load("demo", preset_text(steps=450)), "demo", home / "runs" / name)
        made.update_info(state=standing, started=1_760_000_000.0, steps=450)


def configured(home: Path, text: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(text)


async def helped(pilot: Pilot[int]) -> None:
    await drawn(pilot)
    await until_shown(pilot, "08:53:20")
    await pilot.press("question_mark")
    await until_shown(pilot, "escape close", "write a checkpoint now")
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_help(snap_compare: SnapCompare, run: RunDir, size: tuple[int, int]) -> None:
    assert snap_compare(open_on(run, story(run)), terminal_size=size, run_before=helped)


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_palette_over_the_cockpit(snap_compare: SnapCompare, run: RunDir, size: tuple[int, int]) -> None:
    async def opened(pilot: Pilot[int]) -> None:
        await drawn(pilot)
        await until_shown(pilot, "08:53:20")
        await pilot.press("ctrl+p")
        await until_shown(pilot, "pause after the step in flight", "pause  (space)")
        # What shines through from under it is drawn now and then only.
        pilot.app.screen.styles.background = pilot.app.current_theme.background
        await pilot.pause()

    assert snap_compare(open_on(run, story(run)), terminal_size=size, run_before=opened)


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_palette_over_the_start_screen(snap_compare: SnapCompare, start_screen: None, size: tuple[int, int]) -> None:
    async def sought(pilot: Pilot[int]) -> None:
        await until_shown(pilot, "0/450")
        await pilot.press("ctrl+p")
        await until_shown(pilot, "read the lists again")
        await pilot.press(*"demo")
        await until_shown(pilot, "run demo", "open [b]demo-20251008-221000")
        await pilot.pause()

    app = ZotuiApp(wall=lambda: 1_760_000_000.0)
    assert snap_compare(app, terminal_size=size, run_before=sought)


@pytest.mark.parametrize("theme", ["colour-blind-dark", "colour-blind-light"])
@pytest.mark.parametrize("size", SIZES, ids=named)
def test_colour_blind(snap_compare: SnapCompare, run: RunDir, home: Path, size: tuple[int, int], theme: str) -> None:
    configured(home, f'[ui]\ntheme = "{theme}"\n')
    assert snap_compare(open_on(run, story(run)), terminal_size=size, run_before=drawn)


@pytest.mark.parametrize("size", SIZES, ids=named)
@pytest.mark.parametrize("screen", ["cockpit", "start", "question", "died"])
def test_no_colour(
    snap_compare: SnapCompare,
    run: RunDir,
    start_screen: None,
    monkeypatch: pytest.MonkeyPatch,
    screen: str,
    size: tuple[int, int],
) -> None:
    async def shown(pilot: Pilot[int]) -> None:
        if screen == "start":
            await until_shown(pilot, "0/450")
            await pilot.pause()
            return
        await drawn(pilot)
        await pilot.press(*(["q"] if screen == "question" else ["tab"]))
        await pilot.pause()

    monkeypatch.setenv("NO_COLOR", "1")
    fault = [Error(kind="failure", text="CUDA out of memory: 12.00 GiB wanted, 3.10 GiB free"), Ended(1)]
    items = [*story(run), *(fault if screen == "died" else [])]
    app = ZotuiApp(wall=lambda: 1_760_000_000.0) if screen == "start" else open_on(run, items)
    assert snap_compare(app, terminal_size=size, run_before=shown)


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_ascii(snap_compare: SnapCompare, run: RunDir, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    monkeypatch.setenv("ZOTUI_ASCII", "1")
    assert snap_compare(open_on(run, story(run)), terminal_size=size, run_before=drawn)


@pytest.mark.parametrize("size", [*SIZES, (200, 60)], ids=named)
@pytest.mark.parametrize("screen", ["start", "cockpit", "finished", "question", "help", "palette"])
async def test_ascii_is_ascii(
    run: RunDir, start_screen: None, monkeypatch: pytest.MonkeyPatch, screen: str, size: tuple[int, int]
) -> None:
    monkeypatch.setenv("ZOTUI_ASCII", "1")
    over = [Done(outcome="finished", steps=450, seconds=1.0, metrics={}, run=str(run.path)), Ended(0)]
    items = [*story(run), *(over if screen == "finished" else [])]
    app = ZotuiApp() if screen == "start" else open_on(run, items)
    async with app.run_test(size=size) as pilot:
        await (until_shown(pilot, "0/450") if screen == "start" else drawn(pilot))
        press = {"question": "q", "help": "question_mark", "palette": "ctrl+p"}.get(screen)
        if press:
            await pilot.press(press)
            await until_shown(pilot, {"q": "Keep wa", "question_mark": "arrows scroll", "ctrl+p": "(space)"}[press])
        text = screen_text(app)
        assert text.strip()
        assert not {sign for sign in text if not sign.isascii()}


def test_signs_keep_their_width_and_letters_stay() -> None:
    assert as_ascii("╭─ größe ━╸ ● → … ±") == "+- größe == * ->. ~"
    assert as_ascii("0.602 → 0.639") == "0.602 ->0.639"
    assert as_ascii("⠀⠁⡇⣿▁▄█") == " .:#_-#"
    assert len(as_ascii("🔎")) == 2
    assert all(as_ascii(chr(code)).isascii() and len(as_ascii(chr(code))) == 1 for code in range(0x2500, 0x25A0))
    assert all(as_ascii(chr(code)).isascii() and len(as_ascii(chr(code))) == 1 for code in range(0x2800, 0x2900))


def footer_keys(app: ZotuiApp) -> tuple[list[str], int]:
    """What the footer says, and how much room it takes."""
    keys = list(app.screen.query_one(KeyBar).query("FooterKey"))
    return [key.description for key in keys], sum(key.outer_size.width for key in keys)


@pytest.mark.parametrize("width", [80, 50])
@pytest.mark.parametrize("standing", ["starting", "running", "paused", "stopping", "finished", "died", "start"])
async def test_the_footer_fits(run: RunDir, start_screen: None, standing: str, width: int) -> None:
    end = {
        "paused": [State(state="paused", step=320)],
        "stopping": [State(state="stopping", step=320)],
        "finished": [Done(outcome="finished", steps=450, seconds=1.0, metrics={}, run=str(run.path)), Ended(0)],
        "died": [Error(kind="failure", text="no"), Ended(1)],
    }.get(standing, [])
    app = ZotuiApp() if standing == "start" else open_on(run, [*story(run, 0 if standing == "starting" else 320), *end])
    async with app.run_test(size=(width, 24)) as pilot:
        if standing == "start":
            await until_shown(pilot, "0/450")
        else:
            await until(pilot, lambda: cockpit(pilot).run.entries)
        await until(pilot, lambda: {"help", "palette"} <= set(footer_keys(app)[0]), "help and palette in the footer")
        await pilot.pause()
        shown, taken = footer_keys(app)
        assert taken <= width
        assert all(f" {name}" in screen_text(app).splitlines()[-1] for name in shown)
        if width == 80:  # the most used ones are all there as the keys come
            hidden = {b.binding.description for b in app.screen.active_bindings.values() if b.binding.show} - {*shown}
            assert not hidden


async def test_no_colour_is_none_at_all(start_screen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = ZotuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "0/450")
        await pilot.press("tab")
        await pilot.pause()
        segments = [one for strip in app.screen._compositor.render_strips() for one in strip if one.style]
        assert not [one for one in segments if one.style and (one.style.color or one.style.bgcolor)]
        reversed_text = "".join(one.text for one in segments if one.style and one.style.reverse)
        assert "demo-20251006-120000" in reversed_text and "[b]demo" not in reversed_text  # the row under the cursor
