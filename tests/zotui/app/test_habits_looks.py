"""Pictures of what the habits of users change: colours and ASCII; and that nothing is cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.preset.load import load
from engine.protocol.events import State
from engine.runs.directory import RunDir
from tests.zotui.app.app_album import Album
from tests.zotui.app.app_helpers import preset_text, screen_text, until, until_shown
from tests.zotui.app.app_story import LOOKS, clocked, died, drawn, finished, open_on, story, told
from zotui.app.app import ZotuiApp
from zotui.app.kit.key_bar import KeyBar
from zotui.app.line_filters import as_ascii

Size = tuple[int, int]
small = pytest.mark.parametrize("look", LOOKS[:2], indirect=True)


@pytest.fixture
def start_screen(home: Path, write_preset: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Presets and runs to list."""
    write_preset("demo", preset_text("Sentiment on a small OPT, minutes on a laptop", steps=450))
    write_preset("opt-13b-sst2", preset_text("OPT-13B on SST-2, the published setting", "facebook/opt-13b", 20_000))
    for name, standing in (("demo-20251006-120000", "finished"), ("[b]demo-20251008-221000", "stopped")):
        made = RunDir.create(load("demo", preset_text(steps=450)), "demo", home / "runs" / name)
        made.info.update(state=standing, started=1_760_000_000.0, steps=450)


@small
async def test_no_colour(
    look: Size, picture: Album, run: RunDir, start_screen: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with clocked(None).run_test(size=look) as pilot:
        await until_shown(pilot, "0/450", "fits")
        await picture(pilot)
    async with open_on(run, story(run)).run_test(size=look) as pilot:
        await drawn(pilot)
        await pilot.press("tab")
        await picture(pilot)
        await pilot.press("q")
        await until_shown(pilot, "Keep wa")
        await picture(pilot)
        await pilot.press("escape")
        await told(pilot, died())
        await picture(pilot, "died")


async def test_ascii(
    look: Size, picture: Album, run: RunDir, start_screen: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_signs() -> set[str]:
        text = screen_text(app)
        assert text.strip()
        return {sign for sign in text if not sign.isascii()}

    monkeypatch.setenv("ZOTUI_ASCII", "1")
    app = clocked(None)
    async with app.run_test(size=look) as pilot:
        await until_shown(pilot, "0/450")
        assert not other_signs()
    app = open_on(run, story(run))
    async with app.run_test(size=look) as pilot:
        await drawn(pilot)
        await picture(pilot)
        assert not other_signs()
        for key, shown in (("q", "Keep wa"), ("question_mark", "arrows scroll"), ("ctrl+p", "(space)")):
            await pilot.press(key)
            await until_shown(pilot, shown)
            assert not other_signs()
            await pilot.press("escape")
        await told(pilot, finished(run))
        assert not other_signs()


def test_signs_keep_their_width_and_letters_stay() -> None:
    assert as_ascii("╭─ größe ━╸ ● → … ±") == "+- größe == * ->. ~"
    assert as_ascii("0.602 → 0.639") == "0.602 ->0.639"
    assert as_ascii("⠀⠁⡇⣿▁▄█") == " .:#_-#"
    assert len(as_ascii("🔎")) == 2
    assert all(as_ascii(chr(code)).isascii() and len(as_ascii(chr(code))) == 1 for code in range(0x2500, 0x25A0))
    assert all(as_ascii(chr(code)).isascii() and len(as_ascii(chr(code))) == 1 for code in range(0x2800, 0x2900))


def unfit(app: ZotuiApp, width: int, *wanted: str) -> list[str]:
    """What the footer lacks or has no room for."""
    keys = list(app.screen.query_one(KeyBar).query("FooterKey"))
    shown, line = [key.description for key in keys], screen_text(app).splitlines()[-1]
    taken = sum(key.outer_size.width for key in keys)
    faults = [name for name in ("help", "palette", *wanted, *shown) if f" {name}" not in line]
    if width == 80:  # the most used ones are all there as the keys come
        usual = (one.binding for one in app.screen.active_bindings.values())
        faults += [binding.description for binding in usual if binding.show and binding.description not in shown]
    return faults if taken <= width else [*faults, f"{taken} cells"]


@pytest.mark.parametrize("width", [80, 50])
async def test_the_footer_fits(run: RunDir, start_screen: None, width: int) -> None:
    async def fits(pilot: Pilot[int], *wanted: str) -> None:
        await until(pilot, lambda: not unfit(app, width, *wanted), f"a footer that fits, with {wanted}")

    app = clocked(None)
    async with app.run_test(size=(width, 24)) as pilot:
        await until_shown(pilot, "0/450")
        await fits(pilot, "new")
    app = open_on(run, story(run, steps=0))
    async with app.run_test(size=(width, 24)) as pilot:
        await fits(pilot, "pause")
        await told(pilot, story(run)[2:])
        await fits(pilot, "pause")
        for state, key in (("paused", "resume"), ("stopping", "quit")):
            await told(pilot, [State(state=state, step=320)])
            await fits(pilot, key)
        await told(pilot, finished(run))
        await fits(pilot, "quit")
    app = open_on(run, [*story(run), *died()])
    async with app.run_test(size=(width, 24)) as pilot:
        await fits(pilot, "resume")


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
