"""That a picture which is missing, another or left over fails its test, and says how it differs."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.widgets import Static

from tests.zotui.app import app_album
from tests.zotui.app.app_album import Album, folder_of
from tests.zotui.app.app_contrast import contrast
from tests.zotui.app.app_pictures import TextPicture


class Small(App[int]):
    """Three rows, of which one has something in it."""

    def compose(self) -> ComposeResult:
        yield Static("loss [bold #ff0000]0.5[/] ⣀⡤ 宽 [underline] [/]")


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(app_album, "PICTURES", tmp_path / "pictures")
    return tmp_path / "pictures" / "small"


async def test_a_picture_is_kept_compared_and_missed(pictures: Path, tmp_path: Path) -> None:
    async with Small().run_test(size=(30, 3)) as pilot:
        with pytest.raises(pytest.fail.Exception, match="it has no picture"):
            await Album("test_small", tmp_path, update=False)(pilot)
        await Album("test_small", tmp_path, update=True)(pilot)
        await Album("test_small", tmp_path, update=False)(pilot)
        kept = TextPicture.from_text((pictures / "Screen.txt").read_text())
        assert kept == TextPicture.of(pilot.app) and kept.rows == ("loss 0.5 ⣀⡤ 宽", "", "")
        pilot.app.query_one(Static).update("loss [#ff0000]0.4[/] ⣀⡤ 宽 [underline] [/]")
        with pytest.raises(pytest.fail.Exception) as caught:
            await Album("test_small", tmp_path, update=False)(pilot)
    told = str(caught.value)
    assert "row 1 - loss 0.5 ⣀⡤ 宽\n      + loss 0.4 ⣀⡤ 宽" in told and "--update-pictures" in told
    assert "row 1, cells 6 to 8: #ff0000 on #121212; kept was bold #ff0000 on #121212" in told
    assert "0.4" in (tmp_path / "Screen.txt").read_text() and (tmp_path / "Screen.svg").exists()


def test_what_no_test_takes_is_left_over(pictures: Path, tmp_path: Path) -> None:
    pictures.mkdir(parents=True)
    (pictures / "Screen-old.txt").touch()
    with pytest.raises(AssertionError, match="does not take"):
        Album("test_small", tmp_path, update=False).close()
    Album("test_small", tmp_path, update=True).close()
    assert not list(pictures.iterdir())


def test_runs_are_as_long_as_they_can_be() -> None:
    picture = TextPicture(("ab", "", "", "c"), ((("on #000000", 30),),) * 3 + ((("bold", 1), ("plain", 29)),))
    text = picture.to_text()
    assert TextPicture.from_text(text) == picture
    assert [line.split(" ")[0] for line in text.split("-- runs\n")[1].splitlines()] == ["1-3", "4"]


def test_a_folder_for_every_way_a_test_is_called() -> None:
    assert folder_of("test_life[120x40]") == "life/120x40"
    assert folder_of("test_leaving[stop-80x24]") == "leaving/stop-80x24"


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the grey known to fall just short
