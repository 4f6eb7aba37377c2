"""The ways of telling someone who does not look: the terminal's bell, the desktop, a command of the user's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping

from engine.text import stripped
from zotui.alerts.triggers import Notice
from zotui.home.config import Notify

_OSC_777 = ("foot", "rxvt-unicode")
_OSC_9 = ("xterm-kitty", "xterm-ghostty", "wezterm")
_OSC_9_PROGRAMS = ("iTerm.app", "WezTerm", "ghostty")


class Notifier:
    """Tells what the user wants to be told of, the ways that the user chose.

    `bell` rings, `terminal` writes a sequence to the terminal (None where there is none), `warn` says, once for each
    reason, why something could not be told.
    """

    def __init__(
        self,
        wanted: Notify,
        *,
        bell: Callable[[], object],
        terminal: Callable[[str], object] | None,
        warn: Callable[[str], object],
    ) -> None:
        self._wanted = wanted
        self._bell, self._terminal, self._warn = bell, terminal, warn
        self._warned: set[str] = set()
        self._running: list[threading.Thread] = []

    def tell(self, notice: Notice | None) -> None:
        """Tell it, unless nobody wants to know."""
        if notice is None or notice.event not in self._wanted.on:
            return
        if self._wanted.bell:
            self._bell()
        if self._wanted.desktop:
            self._show(stripped(notice.text))
        if self._wanted.command:
            self._start(self._wanted.command, {**os.environ, **as_environment(notice)})

    def close(self, patience: float = 1.0) -> None:
        """Give the commands just started so many seconds in all to fail; they go on by themselves."""
        for thread in self._running:
            thread.join(patience / len(self._running))

    def _show(self, text: str) -> None:
        sequence = by_terminal(text, os.environ) if self._terminal is not None else ""
        if sequence and self._terminal is not None:
            self._terminal(sequence)
        elif shutil.which("notify-send") and not _is_remote(os.environ):
            self._start(["notify-send", "--app-name=zotui", "--", "zotui", text], dict(os.environ))
        else:
            self._complain("notify.desktop: neither this terminal nor notify-send can show anything here")

    def _start(self, command: list[str], environment: dict[str, str]) -> None:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # it outlives the app, and no ctrl+c reaches it
                env=environment,
            )
        except (OSError, ValueError) as error:  # the latter: a null byte
            self._complain(f"{command[0]}: cannot be started ({getattr(error, 'strerror', None) or error})")
            return
        thread = threading.Thread(target=self._wait, args=(process, command[0]), daemon=True, name="notification")
        self._running = [one for one in self._running if one.is_alive()] + [thread]
        thread.start()

    def _wait(self, process: subprocess.Popen[bytes], name: str) -> None:
        code = process.wait()
        if code:
            self._complain(f"{name}: ended with code {code}")

    def _complain(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._warn(f"cannot notify: {text}")


def as_environment(notice: Notice) -> dict[str, str]:
    """A notice for a command of the user's: what is not known is empty."""
    figures = {"VALUE": notice.value, "STEP": notice.step}
    texts = {"EVENT": notice.event, "RUN": notice.run, "PATH": notice.path, "TEXT": notice.text}
    shown = {name: "" if value is None else str(value) for name, value in figures.items()}
    return {f"ZOTUI_{name}": stripped(text) for name, text in {**texts, "METRIC": notice.metric, **shown}.items()}


def by_terminal(text: str, environment: Mapping[str, str]) -> str:
    """What makes the terminal show `text` on the desktop; empty where it is not known to do so."""
    text = " ".join(stripped(text).split())
    terminal, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if terminal.startswith(_OSC_777):
        return f"\x1b]777;notify;zotui;{text.replace(';', ',')}\x07"
    if terminal.startswith(_OSC_9) or program in _OSC_9_PROGRAMS:
        return f"\x1b]9;zotui: {text}\x07"
    return ""


def _is_remote(environment: Mapping[str, str]) -> bool:
    """Whether the desktop here is not the user's: notify-send would show it to nobody, or to somebody else."""
    return "SSH_CONNECTION" in environment
