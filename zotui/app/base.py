"""What holds on every screen: colours, keys, the palette, what the terminal can draw, and whom to tell."""

from __future__ import annotations

import time
from collections.abc import Sequence

from textual import on
from textual.app import App
from textual.binding import Binding
from textual.filter import LineFilter, Monochrome

from engine.errors import UserError
from engine.runs.home import home
from zotui.alerts.channels import Notifier
from zotui.app import keys
from zotui.app.cockpit.alerts import Noticed
from zotui.app.line_filters import Ascii, Colourless, PlainText, wants_ascii
from zotui.app.palette import Commands
from zotui.app.themes import COUNTERPART, THEMES
from zotui.home import config


class BaseApp(App[int]):
    """An app that heeds the user's configuration; a faulty one is said, and everything is as it comes."""

    COMMANDS = {Commands}
    BINDINGS = [
        Binding(
            "ctrl+p", "command_palette", "palette", show=False, priority=True, id="app.palette",
            tooltip="find anything that can be done here, by its name",
        ),
        Binding("t", "toggle_theme", "dark or light", show=False, id="app.theme", tooltip="switch dark and light"),
        Binding("ctrl+q", "quit", "quit", show=False, priority=True, id="app.quit", tooltip="leave"),
        Binding("ctrl+c", "quit", "quit", show=False, priority=True, id="app.interrupt", tooltip="leave"),
    ]  # fmt: skip
    CSS = """
    Footer { background: $footer-background; }
    SelectCurrent .arrow { color: $quiet; }
    Toast { background: $panel; }
    CommandPalette > Vertical { margin-top: 1; max-width: 100; background: $surface; }
    CommandPalette #--input { border: round $primary; }
    CommandPalette #--input.--list-visible { border-bottom: none; }
    CommandPalette CommandList { border: round $primary; border-top: none; background: $surface; }
    CommandPalette SearchIcon { display: none; }
    CommandPalette > .command-palette--help-text { color: $quiet; text-style: not bold; }
    CommandList > .option-list--option-highlighted {
        color: $block-cursor-foreground;
        background: $block-cursor-background;
    }
    App:nocolor {
        .option-list--option-highlighted, .datatable--cursor, Button:focus { text-style: reverse; }
        Chart:focus-within, LogPane:focus-within, SignalPane:focus { border: heavy $foreground; }
        PresetList:focus, RunList:focus { border: heavy $foreground; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self.animation_level = "none"  # over SSH every frame would be sent
        self._config, self._fault = _configuration()
        self._filters_of_ours: list[LineFilter] = [PlainText()]
        if self.no_color:
            self._filters_of_ours.append(Colourless())
        if wants_ascii(self._config.ui):
            self._filters_of_ours.append(Ascii())
        self._notifier = Notifier(
            self._config.notify,
            bell=self.bell,
            terminal=self._to_terminal,
            warn=lambda text: self.notify(text, severity="warning", markup=False),
        )

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's, and ours. Its way without colours is greys, and ends the app at the first line without a style."""
        theirs = [one for one in super().get_line_filters() if not isinstance(one, Monochrome)]
        return [*theirs, *self._filters_of_ours]

    def on_load(self) -> None:
        """Colours and keys, before anything is drawn."""
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = self._config.ui.theme

    def on_ready(self) -> None:
        """There is a screen now that can say what is wrong."""
        self._map_keys()
        if self._fault:
            self.notify(self._fault, title="config.toml is not used", severity="warning", markup=False)

    def _map_keys(self) -> None:
        try:
            keymap = keys.checked(self._config.keys)
        except UserError as error:
            self.notify(str(error), title="keys stay as they come", severity="warning", markup=False)
            return
        self.set_keymap(keymap)
        if "app.palette" in keymap:
            # Where the footer looks for it.
            self.COMMAND_PALETTE_BINDING = keymap["app.palette"].partition(",")[0]  # type: ignore[misc]

    def _to_terminal(self, sequence: str) -> None:
        if self._driver is not None:
            self._driver.write(sequence)

    def action_toggle_theme(self) -> None:
        """Dark to light and back."""
        self.action_choose_theme(COUNTERPART[self.theme])

    def action_choose_theme(self, name: str) -> None:
        """Show another theme from now on, also the next time."""
        self.theme = name
        try:
            config.remember_theme(name)
        except UserError as error:
            self.notify(str(error), title="the theme is not remembered", severity="warning", markup=False)

    def action_save_picture(self) -> None:
        """Save what is on the screen as an SVG."""
        folder = home() / "pictures"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            saved = self.save_screenshot(f"zotui-{time.strftime('%Y%m%d-%H%M%S')}.svg", str(folder))
        except OSError as error:
            self.notify(f"{folder}: cannot be written ({error.strerror})", severity="error", markup=False)
        else:
            self.notify(saved, title="saved", markup=False)

    @on(Noticed)
    def noticed(self, message: Noticed) -> None:
        """Something that the user may want to be told, wherever it is watched from."""
        self._notifier.tell(message.notice)


def _configuration() -> tuple[config.Config, str]:
    """The user's configuration; as it comes, with what is wrong, where the file is faulty."""
    try:
        return config.read(), ""
    except UserError as error:
        return config.Config(keys={}), str(error)
