"""What a new preset is to be called."""

from __future__ import annotations

from textual.widgets import Input

from engine.errors import UserError
from zotui.app.preset.field_row import FieldRow
from zotui.home import presets
from zotui.home.preset_fields import Field


class NameRow(FieldRow):
    """A name that is free; what is wrong with another one stands below it as it is typed."""

    DEFAULT_CSS = "NameRow { margin-top: 1; }"

    def __init__(self) -> None:
        super().__init__(free_field("name", "of the preset"), None)

    def suggest(self, name: str) -> None:
        """What it is called unless another name is typed."""
        self.query_one(Input).placeholder = presets.free_name(name)

    @property
    def text(self) -> str:
        """The name."""
        entry = self.query_one(Input)
        return entry.value.strip() or entry.placeholder

    def check(self) -> bool:
        """Whether a new preset can be called so."""
        self.blame(_fault_of(self.text))
        return not _fault_of(self.text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Typed."""
        super().on_input_changed(event)
        self.check()


def free_field(name: str, hint: str) -> Field:
    """A field that is no key of a preset."""
    return Field(key=name, kind="text", choices=(), default=hint, required=False, about="", bounds="")


def _fault_of(name: str) -> str:
    try:
        taken = presets.own_file(name).stem in presets.available()
    except UserError as error:
        return str(error).removeprefix(": ")
    return f"{name}: there is a preset called so already; choose another name" if taken else ""
