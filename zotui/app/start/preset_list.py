"""The presets to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from textual.binding import Binding
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from engine.errors import UserError
from engine.preset.load import load
from engine.preset.schema import Preset
from engine.protocol.findings import Outlook
from zotui.app.kit.frame import frame
from zotui.home import presets
from zotui.text import numbers


@dataclass(frozen=True)
class Choice:
    """A preset's file, read: either valid or with the reason why not."""

    name: str
    preset: Preset | None
    fault: str
    file: Path
    missing: tuple[str, ...] = ()  # files that it asks for and that are not there, as `key: path`

    def matches(self, word: str) -> bool:
        """Whether a filter finds it: by name, model or description."""
        told = f"{self.preset.model.path} {self.preset.description}" if self.preset else self.fault
        return word in f"{self.name} {told}".lower()


def choices() -> list[Choice]:
    """Every preset there is, the faulty ones with their fault."""
    found = []
    for name, file in presets.available().items():
        try:
            preset = load(name, presets.text(file))
            found.append(Choice(name, preset, "", file, tuple(preset.missing())))
        except UserError as error:
            found.append(Choice(name, None, str(error), file))
    return found


class PresetList(OptionList):
    """Presets by name, each with what it needs, whether that is here, and the line that describes it.

    Above them is a line for a new one of one's own file, unless they are narrowed to what a filter finds.
    """

    DEFAULT_CSS = (
        frame("PresetList", "$primary")
        + """
    PresetList { height: 1fr; text-wrap: nowrap; text-overflow: ellipsis; }
    """
    )

    BINDINGS = [
        Binding("enter", "select", "run", show=False, id="start.open"),
        Binding("up", "cursor_up", "up", show=False, id="list.up", tooltip="move up in a list"),
        Binding("down", "cursor_down", "down", show=False, id="list.down", tooltip="move down in a list"),
    ]

    def __init__(self) -> None:
        super().__init__(id="presets")
        self.border_title = "presets"
        self.border_subtitle = "enter checks and runs one   n edits a copy"
        self._choices: list[Choice] = []
        self._outlooks: dict[str, Outlook] = {}
        self._above = 0  # lines above the presets

    def show(self, found: list[Choice], outlooks: Mapping[str, Outlook], *, filtered: bool = False) -> None:
        """Fill the list, keeping the cursor on the preset where it was; at first it is on the first preset."""
        above = 0 if filtered else 1
        if (found, outlooks, above) == (self._choices, self._outlooks, self._above):
            return
        under = self.chosen.name if self.chosen else _NEW if self.at_new else None
        cursor = above if self.highlighted is None else self.highlighted + above - self._above
        self._choices, self._outlooks, self._above = found, dict(outlooks), above
        width = min(_WIDEST, max((len(choice.name) for choice in found), default=0)) + 2
        self.clear_options()
        if above:
            self.add_option(Option(Content.assemble((_NEW, "bold $primary"), (_NEW_IS, "$quiet")), id="new"))
        self.add_options(
            Option(_line(choice, width, outlooks.get(str(choice.file))), id=f"preset-{n}")
            for n, choice in enumerate(found)
        )
        places = [n for n, choice in enumerate(found, above) if choice.name == under]
        if self.option_count:
            stays = 0 if above and under == _NEW else max(0, min(cursor, self.option_count - 1))
            self.highlighted = places[0] if places else stays

    def go_to(self, name: str) -> None:
        """Have the cursor on a preset, if it is there."""
        for place, choice in enumerate(self._choices, self._above):
            if choice.name == name:
                self.highlighted = place

    @property
    def at_new(self) -> bool:
        """Whether the cursor is on the line for a new one."""
        return self._above == 1 and self.highlighted == 0

    @property
    def chosen(self) -> Choice | None:
        """The preset under the cursor."""
        place = -1 if self.highlighted is None else self.highlighted - self._above
        return self._choices[place] if 0 <= place < len(self._choices) else None


_NEW = "new from my file"
_NEW_IS = "   a preset for your own data, from a look at it"

_WIDEST = 28
"""Cells of a name: a longer one would push out what the presets need."""

FITS = {"yes": ("fits", "$success"), "no": ("too big", "$error"), "unknown": ("unknown", "$quiet")}
"""What stands for whether a preset fits this machine, and its colour."""


def _line(choice: Choice, width: int, outlook: Outlook | None) -> Content:
    name = numbers.shortened(choice.name, width - 2).ljust(width)
    if choice.preset is None:
        fault = choice.fault.removeprefix(f"{choice.name}: ")
        return Content.assemble((name, "bold"), (f"{'':8}  {'faulty':<9}{fault}", "$error"))
    needs, fits = f"{numbers.NOTHING:>8}", ("", "$quiet")
    if outlook is not None:
        fits = FITS[outlook.fits]
        if outlook.memory:
            needs = f"{numbers.size(outlook.memory):>8}"
        elif outlook.fits == "no":
            fits = ("cannot", "$error")
    if choice.missing:
        key, _, path = choice.missing[0].partition(": ")  # its folder is told where there is room
        gone = f"{'missing':<9}{Path(path).name} is not there ({key})"
        return Content.assemble((name, "bold"), (f"{needs}  ", "$quiet"), (gone, "$error"))
    return Content.assemble(
        (name, "bold"),
        (f"{needs}  ", "$quiet"),
        (f"{fits[0]:<9}", fits[1]),
        (choice.preset.description or choice.preset.model.path, "$quiet"),
    )
