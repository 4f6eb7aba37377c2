"""Weights & Biases, and Trackio, which is told things in the same words."""

from __future__ import annotations

import hashlib
import netrc
import os
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from engine.runs.directory import RunDir


class _Project(ABC):
    """A run of the same name in a project there; a resumed run goes on with it."""

    package: ClassVar[str]

    def open(self, run: RunDir, config: dict[str, Any], first_step: int) -> str:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # nothing goes anywhere but where the user said
        project = os.environ.get(f"{self.package.upper()}_PROJECT", "zotui")
        begin = import_module(self.package).init
        self._run = begin(project=project, name=run.name, config=config, **self._settings(run, first_step))
        return self._place(run, project)

    def log(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def finish(self) -> None:
        self._run.finish()

    @abstractmethod
    def _settings(self, run: RunDir, first_step: int) -> dict[str, Any]:
        """What else it is begun with."""

    @abstractmethod
    def _place(self, run: RunDir, project: str) -> str:
        """Where the figures are to be seen."""


class Wandb(_Project):
    """W&B: online only where the user has set it up, else in files that `wandb sync` uploads."""

    package = "wandb"

    def _settings(self, run: RunDir, first_step: int) -> dict[str, Any]:
        quiet = {"console": "off", "silent": True, "disable_git": True}
        return {"id": identity(run), "dir": str(run.path), "mode": mode(), "resume": "allow", "settings": quiet}

    def _place(self, run: RunDir, project: str) -> str:
        if self._run.settings.mode == "disabled":
            return "disabled, as WANDB_MODE says"
        return str(self._run.url or f"offline, in {run.path / 'wandb'}; `wandb sync` uploads it")


class Trackio(_Project):
    """Trackio: on this machine, unless the user's TRACKIO_SPACE_ID or TRACKIO_SERVER_URL names another place."""

    package = "trackio"

    def _settings(self, run: RunDir, first_step: int) -> dict[str, Any]:
        figures_only = {"embed": False, "auto_log_cpu": False, "auto_log_gpu": False}
        return {"resume": "allow" if first_step else "never", **figures_only}

    def _place(self, run: RunDir, project: str) -> str:
        elsewhere = os.environ.get("TRACKIO_SPACE_ID") or os.environ.get("TRACKIO_SERVER_URL")
        place = elsewhere or "on this machine"
        return f"project {project}, run {run.name}, {place}; `trackio show --project {project}` shows it"


def mode() -> Literal["offline"] | None:
    """`offline` where the user said nothing and has no key here; else what W&B makes of its own settings."""
    return None if os.environ.get("WANDB_MODE") or has_key() else "offline"


def has_key() -> bool:
    """Whether W&B would find credentials: in the environment, or in the netrc file that `wandb login` writes."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    file = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return host in netrc.netrc(file).hosts
    except (OSError, netrc.NetrcParseError):
        return False


def identity(run: RunDir) -> str:
    """The same for every engine of a run, wherever its folder is moved."""
    return hashlib.sha1(repr(run.info.read().started).encode(), usedforsecurity=False).hexdigest()[:12]
