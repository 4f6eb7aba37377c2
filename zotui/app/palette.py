"""The command palette: what can be done here, with its key; runs to open, presets to start, themes to choose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from rich.text import Text
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.markup import escape
from textual.message import Message

from engine.runs.directory import all_runs
from zotui.app.keys import spelt
from zotui.app.start.preset_list import choices
from zotui.app.start.screen import Start
from zotui.app.themes import THEMES

MOST_RUNS = 50
"""Runs offered: older ones are on the start screen."""

_NOT_OFFERED = ("command_palette", "app.focus_next", "app.focus_previous", "back", "quit", "no_engine")
"""Moving about is what keys are for; and every screen has its own way out."""


@dataclass(frozen=True)
class Command:
    """A line of the palette."""

    name: str
    about: str
    act: Callable[[], object]


class Commands(Provider):
    """Everything that can be chosen on the screen under the palette."""

    async def startup(self) -> None:
        """Look once, when the palette opens."""
        self._commands = [*self._actions(), *self._runs(), *self._presets(), *self._others()]

    async def discover(self) -> Hits:
        """All of them, in this order."""
        for command in self._commands:
            yield DiscoveryHit(Text(command.name), command.act, command.name, escape(command.about))

    async def search(self, query: str) -> Hits:
        """Those whose name has the letters."""
        matcher = self.matcher(query)
        for command in self._commands:
            if (score := matcher.match(command.name)) > 0:
                lit = matcher.highlight(escape(command.name)) if "[" not in command.name else Text(command.name)
                yield Hit(score, lit, command.act, command.name, escape(command.about))

    def _actions(self) -> Iterator[Command]:
        seen = set()
        # Those of the footer first: they are what a screen is for.
        found = sorted(self.screen.active_bindings.items(), key=lambda item: not item[1].binding.show)
        for key, (node, binding, enabled, _) in found:
            if not enabled or binding.id is None or binding.action in _NOT_OFFERED or binding.id in seen:
                continue
            if binding.id.startswith(("list.", "chart.")):
                continue
            seen.add(binding.id)
            act = partial(self.app.run_action, binding.action, node)
            yield Command(f"{binding.description}  ({spelt(key)})", binding.tooltip, act)

    def _runs(self) -> Iterator[Command]:
        if not isinstance(self.screen, Start):
            return
        for run in all_runs()[:MOST_RUNS]:
            summary = run.summary()
            about = f"{summary.word}, {summary.steps_done:,} of {summary.steps:,} steps"
            yield Command(f"open {run.name}", about, self._poster(Start.Look(run)))

    def _presets(self) -> Iterator[Command]:
        if not isinstance(self.screen, Start):
            return
        for choice in choices():
            if choice.preset is not None:
                launch = self._poster(Start.Launch(choice.preset, choice.name))
                yield Command(f"run {choice.name}", choice.preset.description, launch)

    def _doer(self, action: str) -> Callable[[], object]:
        return partial(self.app.run_action, action, self.app)

    def _poster(self, message: Message) -> Callable[[], object]:
        return lambda: self.screen.post_message(message)

    def _others(self) -> Iterator[Command]:
        for theme in THEMES:
            if theme.name != self.app.theme:
                about = "for eyes that mix up colours" if theme.name.startswith("colour-blind") else "its colours"
                yield Command(f"theme {theme.name}", about, self._doer(f"choose_theme('{theme.name}')"))
        yield Command("save a picture of the screen", "an SVG in zotui's folder", self._doer("save_picture"))
