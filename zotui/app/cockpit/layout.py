"""The panes of the cockpit: which are shown, which one alone; a choice holds while the app is open."""

from __future__ import annotations

from dataclasses import dataclass, field

from textual.widget import Widget

PANES = {
    "main-chart": "the main chart",
    "second-chart": "the second chart",
    "tiles": "the tiles",
    "signal": "the figures of the signal",
    "events": "the events",
}
"""By their keys, 1 to 5, with what they are."""


@dataclass
class Choices:
    """What the user chose; for the rest, the size of the terminal decides."""

    shown: dict[str, bool] = field(default_factory=dict)


class Panes:
    """The panes of one screen."""

    def __init__(self, screen: Widget, choices: Choices) -> None:
        self._screen, self._choices = screen, choices
        self.maximised: str | None = None

    def toggle(self, name: str) -> None:
        """Show a pane that is hidden, or the other way round; all are back if one stood alone."""
        if self.maximised is None:
            self._choices.shown[name] = not self._pane(name).display
        self.maximised = None
        self.arrange()

    def maximise(self, widget: Widget | None) -> None:
        """The pane of a widget alone, or all again."""
        inside = () if widget is None else [node.id for node in widget.ancestors_with_self]
        name = next((name for name in PANES if name in inside), next(iter(PANES)))
        self.maximised = name if self.maximised is None else None
        self.arrange()

    def arrange(self) -> None:
        """Show what is to be shown."""
        self._screen.set_class(self.maximised is not None, "-maximised")
        for name in PANES:
            pane = self._pane(name)
            pane.set_class(name == self.maximised, "-maximised")
            if self.maximised is not None:
                pane.display = name == self.maximised
            elif name in self._choices.shown:
                pane.display = self._choices.shown[name]
            else:
                pane.styles.clear_rule("display")
        self.close_gaps()

    def close_gaps(self) -> None:
        """Hide a row of which every pane is hidden, and what holds only such rows: their place goes to the others."""
        for row in reversed(list(self._screen.query(".panes").results(Widget))):  # rows before what holds them
            if any(child.display for child in row.children):
                row.styles.clear_rule("display")
            else:
                row.display = False
        self._screen.set_class(not self._screen.query_one("#charts").display, "-without-charts")
        self._screen.set_class(not any(self._pane(name).display for name in PANES), "-without-panes")

    def _pane(self, name: str) -> Widget:
        return self._screen.query_one(f"#{name}")
