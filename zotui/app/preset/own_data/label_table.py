"""The labels of a classification, and the text that stands for each."""

from __future__ import annotations

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from zotui.text import numbers

_WIDEST = 19  # cells of a label


class LabelTable(Vertical):
    """A line for each label: what the data say, and an entry for what the model is asked for. Posts `Changed`."""

    DEFAULT_CSS = """
    LabelTable { height: auto; }
    LabelTable Horizontal { height: 1; }
    LabelTable .label { width: 23; padding-left: 2; text-wrap: nowrap; text-overflow: ellipsis; }
    LabelTable .head { color: $quiet; }
    LabelTable Horizontal:focus-within .label { color: $primary; text-style: bold; }
    LabelTable Input { width: 1fr; max-width: 40; background: $panel; }
    LabelTable Input:focus { background: $block-cursor-background; }
    LabelTable .fault { color: $error; padding-left: 23; height: auto; display: none; }
    LabelTable.-faulty .fault { display: block; }
    """
    key = "verbalizer"

    class Changed(Message):
        """Another text."""

        def __init__(self, row: LabelTable) -> None:
            super().__init__()
            self.row = row

    def __init__(self, texts: Mapping[str, str]) -> None:
        """`texts` are by label, as the data have it."""
        super().__init__()
        self._labels = list(texts)
        self._told = dict(texts)

    def compose(self) -> ComposeResult:
        with Horizontal(classes="head"):
            yield Static("label", classes="label head")
            yield Static("text that the model is asked for")
        for label, text in self._told.items():
            with Horizontal():
                yield Static(Content(numbers.shortened(label, _WIDEST)), classes="label")
                yield Input(text, compact=True, select_on_focus=True)
        yield Static(classes="fault")

    @property
    def value(self) -> dict[str, str]:
        """The text of each label."""
        return dict(zip(self._labels, (entry.value for entry in self.query(Input)), strict=True))

    def blame(self, fault: str) -> None:
        """Show what is wrong with them, or that nothing is."""
        self.set_class(bool(fault), "-faulty")
        self.query_one(".fault", Static).update(Content(fault))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Typed, unless it is what it began with."""
        event.stop()
        if self.value != self._told:
            self._told = self.value
            self.post_message(self.Changed(self))
