"""A path to type, with what it can go on with below it."""

from __future__ import annotations

from dataclasses import replace

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from zotui.app.preset.field_row import FieldRow
from zotui.app.preset.own_data.completion import completed, offered
from zotui.home.preset_fields import Field


class _First(Suggester):
    """What is offered first, behind the cursor: `right` takes it."""

    def __init__(self, *, files: bool) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._files = files

    async def get_suggestion(self, value: str) -> str | None:
        """Nothing before a letter is typed."""
        return next(iter(offered(value, files=self._files)), None) if value else None


class _PathInput(Input):
    """Tab completes where there is something to complete, and goes on to the next field where there is not."""

    BINDINGS = [
        Binding("tab", "complete", "complete", show=False, id="path.complete", tooltip="complete a path"),
        Binding("down", "offers", "choose", show=False, id="path.offers", tooltip="choose among what a path can be"),
    ]

    def action_complete(self) -> None:
        """As far as what is offered goes the same way."""
        self.post_message(PathRow.Asked("complete"))

    def action_offers(self) -> None:
        """To what is offered."""
        self.post_message(PathRow.Asked("offers"))


class _Offers(OptionList):
    """What a path can go on with; from its first line up is the path again."""

    BINDINGS = [
        Binding("up", "up", "up", show=False, id="list.up", tooltip="move up in a list"),
        Binding("down", "cursor_down", "down", show=False, id="list.down", tooltip="move down in a list"),
    ]

    def action_up(self) -> None:
        """Up, or out of it."""
        if self.highlighted:
            self.action_cursor_up()
        else:
            self.post_message(PathRow.Asked("path"))


class PathRow(FieldRow):
    """A field for a path. Posts `Chosen` when one was chosen, or entered."""

    DEFAULT_CSS = """
    PathRow OptionList {
        display: none; height: auto; max-height: 6; margin-left: 23; padding: 0; border: none;
        background: $panel; scrollbar-size-vertical: 1;
    }
    PathRow.-offers:focus-within OptionList { display: block; }
    """

    class Asked(Message):
        """A key in it that is the row's to answer."""

        def __init__(self, what: str) -> None:
            super().__init__()
            self.what = what

    class Chosen(Message):
        """That is the path."""

        def __init__(self, row: PathRow) -> None:
            super().__init__()
            self.row = row

    def __init__(self, field: Field, value: str, *, files: bool = True) -> None:
        """Without `files`, folders alone are offered."""
        super().__init__(replace(field, kind="text"), value or None)
        self._files = files
        self._offers: list[str] = []

    def compose(self) -> ComposeResult:
        yield from super().compose()
        yield _Offers()

    def entry(self, text: str, hint: str) -> Input:
        """With the first of what is offered behind the cursor."""
        return _PathInput(
            text, placeholder=hint, compact=True, select_on_focus=False, suggester=_First(files=self._files)
        )

    @property
    def text(self) -> str:
        """What was typed."""
        return self.query_one(Input).value.strip()

    def on_mount(self) -> None:
        """What there is before a letter is typed."""
        super().on_mount()
        self._offer()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Typed: other paths begin with it."""
        super().on_input_changed(event)
        self._offer()

    def on_descendant_focus(self) -> None:
        """Files may have come since."""
        self._offer()

    def _offer(self) -> None:
        found = offered(self.query_one(Input).value, files=self._files)
        found = [] if found == [self.query_one(Input).value] else found
        if found != self._offers:
            self._offers = found
            offers = self.query_one(_Offers)
            offers.clear_options()
            offers.add_options(Option(Content(_last(path))) for path in found)
        self.set_class(bool(found), "-offers")

    @on(Asked)
    def _answer(self, event: Asked) -> None:
        event.stop()
        entry, offers = self.query_one(Input), self.query_one(_Offers)
        if event.what == "path":
            entry.focus()
        elif event.what == "offers" and self._offers:
            offers.highlighted = 0
            offers.focus()
        elif event.what == "complete" and (further := completed(entry.value, self._offers)) != entry.value:
            self._take(further)
        else:
            self.screen.focus_next()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.query_one(Input).focus()
        self._take(self._offers[event.option_index])
        if not self.text.endswith("/"):
            self.post_message(self.Chosen(self))

    def _take(self, path: str) -> None:
        entry = self.query_one(Input)
        entry.value = path
        entry.cursor_position = len(path)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter: that is it, as it stands."""
        event.stop()
        self.post_message(self.Chosen(self))


def _last(path: str) -> str:
    name = path.rstrip("/").rpartition("/")[2]
    return f"{name}/" if path.endswith("/") else name
