"""Where zotui keeps what it keeps."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """The folder that holds everything zotui keeps; `ZOTUI_HOME` moves it."""
    chosen = os.environ.get("ZOTUI_HOME")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_data_dir("zotui", appauthor=False))


def runs_home() -> Path:
    """The folder of runs that were not given a folder of their own."""
    return home() / "runs"
