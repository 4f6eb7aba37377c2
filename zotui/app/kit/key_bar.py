"""The footer: the keys of the moment, as many as there is room for; help and the palette always."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.events import Resize
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

_ALWAYS = ("help", "command_palette", "app.command_palette")


class KeyBar(Footer):
    """Textual's footer without what would be cut off: the keys that come last in a screen's bindings give way."""

    DEFAULT_CSS = """
    KeyBar FooterKey.-command-palette { border-left: none; padding-right: 0; }
    """

    _composed_at = 0  # cells

    def compose(self) -> ComposeResult:
        width = self._composed_at = self.size.width or self.app.size.width  # before it is laid out, as wide as can be
        entries = [entry for entry in super().compose() if isinstance(entry, FooterKey)]
        room = width - sum(_width(entry) for entry in entries if entry.action in _ALWAYS)
        for entry in entries:
            if entry.action not in _ALWAYS:
                room -= _width(entry)
                if room < 0:  # also for those after it: which keys are there must not hop about
                    continue
                entry.set_reactive(FooterKey.compact, self.compact)  # as it will be, else it is styled again
            yield entry

    def on_resize(self, event: Resize) -> None:
        """Another width has room for other keys."""
        # It is also told of what its own keys take, which would never end.
        if self.is_attached and event.size.width != self._composed_at:
            self.call_after_refresh(self.recompose)


def _width(entry: FooterKey) -> int:
    return len(f" {entry.key_display} {entry.description} ")
