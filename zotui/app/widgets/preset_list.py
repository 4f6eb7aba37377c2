"""The presets to choose from."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from engine.errors import UserError
from engine.preset import Preset
from zotui import presets


@dataclass(frozen=True)
class Choice:
    """A preset's file, read: either valid or with the reason why not."""

    name: str
    preset: Preset | None
    fault: str


def choices() -> list[Choice]:
    """Every preset there is, the faulty ones with their fault."""
    found = []
    for name in presets.available():
        try:
            found.append(Choice(name, presets.read(name), ""))
        except UserError as error:
            found.append(Choice(name, None, str(error)))
    return found


class PresetList(OptionList):
    """Presets by name, each with the line that describes it."""

    DEFAULT_CSS = """
    PresetList {
        height: 1fr;
        border: round $line;
        border-title-color: $foreground;
        border-subtitle-color: $quiet;
        background: $surface;
        padding: 0 1;
        scrollbar-size-vertical: 1;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    PresetList:focus { border: round $primary; background-tint: $foreground 0%; }
    """

    BINDINGS = [
        Binding("enter", "select", "run", show=False, id="start.open"),
        Binding("up", "cursor_up", "up", show=False, id="list.up", tooltip="move up in a list"),
        Binding("down", "cursor_down", "down", show=False, id="list.down", tooltip="move down in a list"),
    ]

    def __init__(self) -> None:
        super().__init__(id="presets")
        self.border_title = "presets"
        self.border_subtitle = "enter starts a run"
        self._choices: list[Choice] = []

    def show(self, found: list[Choice]) -> None:
        """Fill the list, keeping the cursor where it was."""
        if found == self._choices and self.option_count:
            return
        cursor = self.highlighted or 0
        self._choices = found
        width = max((len(choice.name) for choice in found), default=0) + 2
        self.clear_options()
        self.add_options(Option(_line(choice, width), id=f"preset-{n}") for n, choice in enumerate(found))
        if found:
            self.highlighted = min(cursor, len(found) - 1)

    @property
    def chosen(self) -> Choice | None:
        """The preset under the cursor."""
        return self._choices[self.highlighted] if self.highlighted is not None and self._choices else None


def _line(choice: Choice, width: int) -> Content:
    about = (choice.preset.description or choice.preset.model.path) if choice.preset else choice.fault
    return Content.assemble((choice.name.ljust(width), "bold"), (about, "$quiet" if choice.preset else "$error"))
