"""Who takes part in a bench to accuracy: methods with their settings, and the preset of each of their runs."""

from __future__ import annotations

import hashlib
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import tomlkit

from engine.errors import UserError
from engine.preset.load import load
from engine.preset.schema import Preset
from engine.runs.directory import RunDir
from engine.runs.home import runs_home
from zotui.home import presets

_OWN = {"method.name": "--method", "run.seed": "--seeds"}  # what says it in this command
_LONGEST = 60  # characters of a folder's name that the method's settings take


@dataclass(frozen=True)
class Contender:
    """A method and the settings that it brings beyond those of the preset."""

    name: str
    changes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How it is called in tables."""
        return " ".join([self.name, *(change.removeprefix("method.") for change in self.changes)])

    @classmethod
    def parse(cls, text: str, option: str = "--method") -> Contender:
        """Of `NAME KEY=VALUE ...`. Raises `UserError`."""
        try:
            name, *changes = shlex.split(text)
        except ValueError:
            name, changes = "", []
        if not name or "=" in name or not all("=" in change for change in changes):
            raise UserError(f"{option} {text!r}: expected a method and its settings, as in 'grzo method.lr=4e-4'")
        return cls(name, tuple(changes))


@dataclass(frozen=True)
class Course:
    """What all of them run: a preset with changes, for so many steps at most, in folders below `folder`."""

    preset: str
    changes: tuple[str, ...] = ()
    most_steps: int | None = None
    folder: Path | None = None

    def wanted(self, contender: Contender, seed: int) -> Preset:
        """The preset of a run. Raises `UserError`.

        The preset's [method] is that of its own method: another method takes nothing of it, but what its page brings.
        """
        text = presets.text(presets.find(self.preset))
        for change in (*self.changes, *contender.changes):
            key = change.partition("=")[0].strip()
            if key == "run.steps" and self.most_steps is not None:
                raise UserError(f"--set {key}: --most-steps says that here; leave one of the two out")
            if key in _OWN:
                raise UserError(f"--set {key}: {_OWN[key]} says that here")
        if contender.name != load(self.preset, text).method.name:
            data = tomllib.loads(text)
            text = tomlkit.dumps({**data, "method": {"name": contender.name}})
        # Without the bench nobody would stop it at the mark.
        given = ["run.when_app_leaves=stop", *([f"run.steps={self.most_steps}"] if self.most_steps is not None else [])]
        return load(self.preset, text, [*given, *self.changes, *contender.changes, f"run.seed={seed}"])

    def run_of(self, contender: Contender, seed: int) -> tuple[Preset, RunDir]:
        """A run's preset, and its directory, which is there or not.

        Its name has a digest of all of its settings, so that the same run is found again, and no other is taken for it.
        """
        wanted = self.wanted(contender, seed).absolute()
        digest = hashlib.sha256(wanted.model_copy(update={"description": ""}).to_toml().encode()).hexdigest()[:8]
        stem, slug = (re.sub(r"[^A-Za-z0-9._=-]+", "-", part) for part in (Path(self.preset).stem, contender.label))
        name = f"{stem}-{slug[:_LONGEST].strip('-.')}-seed-{seed}-{digest}"
        return wanted, RunDir((self.folder or runs_home()) / name)
