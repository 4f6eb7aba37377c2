"""Weights & Biases: online only where the user has set it up, else in files that `wandb sync` uploads."""

from __future__ import annotations

import hashlib
import netrc
import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from engine.runs.directory import RunDir

_PROJECT = "zotui"


class Wandb:
    """A W&B run of the same name; a resumed run goes on with it."""

    def open(self, run: RunDir, config: dict[str, Any], first_step: int) -> str:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # nothing goes anywhere but where the user said
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            id=identity(run),
            name=run.name,
            dir=str(run.path),
            config=config,
            mode=mode(),
            resume="allow",
            settings=wandb.Settings(console="off", silent=True, disable_git=True),
        )
        if self._run.settings.mode == "disabled":
            return "disabled, as WANDB_MODE says"
        return str(self._run.url or f"offline, in {run.path / 'wandb'}; `wandb sync` uploads it")

    def log(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def finish(self) -> None:
        self._run.finish()


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
    return hashlib.sha1(repr(run.info.read().get("started")).encode(), usedforsecurity=False).hexdigest()[:12]
