"""Ask an engine, without starting a run, what a preset would start on and take (`python -m engine.survey`)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from engine.errors import EXIT_DONE
from engine.findings import Data, Estimate, Finding, Model, Room, Setting, decode
from engine.frames import frames
from engine.messages import Error, Log, Phase, encode
from engine.plain import plain
from engine.preset import Preset
from zotui.app import words
from zotui.progress import talk


class Survey:
    """A surveying engine. Nothing is lost when it is ended early; it ends with the process that asked."""

    COMMAND: ClassVar[tuple[str, ...]] = (sys.executable, "-P", "-m", "engine.survey")
    """What surveys (-P: not a folder called engine here); tests put a scripted one in its place."""

    def __init__(self, arguments: Sequence[str], text: str = "", *, hushed: bool = True) -> None:
        self._process = subprocess.Popen(
            [*self.COMMAND, "--leashed", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if hushed else None,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(text).encode() + b"\n")
        self._process.stdin.flush()

    @classmethod
    def of(cls, preset: Preset, *, calibrate: bool, hushed: bool = True) -> Survey:
        """Everything about one preset, as a run of it would be started."""
        return cls([*(["--calibrate"] if calibrate else []), "-"], preset.absolute().to_toml(), hushed=hushed)

    @classmethod
    def of_many(cls, files: Sequence[Path]) -> Survey:
        """What each of these presets' files needs, by its model's configuration alone."""
        return cls(["--outlook", *map(str, files)])

    def findings(self) -> Iterator[Finding]:
        """What it finds, until it ends. Lines that are no finding are skipped."""
        stdout = self._process.stdout
        assert stdout is not None
        for found in frames(stdout.read1, decode):  # type: ignore[attr-defined] # it is buffered
            if found is not None:
                yield found

    def close(self) -> None:
        """End it at once, should it still run; its memory is free again then."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        """Its exit code (128 + n when signal n ended it), once it has ended."""
        code = self._process.wait()
        return 128 - code if code < 0 else code


def run_preflight(preset: Preset, *, calibrate: bool, as_json: bool) -> int:
    """Print what a run of `preset` would start on and take; returns the exit code."""
    survey = Survey.of(preset, calibrate=calibrate)
    refused = False
    try:
        for found in survey.findings():
            if as_json:
                print(plain(encode(found).decode().rstrip()), flush=True)
            else:
                for name, line in rows(found):
                    print(plain(f"{name:<12}{line}".rstrip()), flush=True)
                if isinstance(found, Phase) and found.detail and found.progress is None:
                    talk(f"{found.name}: {found.detail}")
            if isinstance(found, Error):
                refused = True
                talk(f"zotui: {found.text}")
        code = survey.wait()
    finally:
        survey.close()
    if code != EXIT_DONE and not refused:
        talk(f"zotui: the survey ended with code {code}; `{' '.join(Survey.COMMAND)} PRESET.toml` shows why")
    return code


def rows(found: Finding) -> list[tuple[str, str]]:
    """A finding as rows of a name and a line; none for what is not worth one."""
    shape: dict[type, Callable[..., list[tuple[str, str]]]] = {
        Model: _model,
        Setting: _setting,
        Data: _data,
        Room: _room,
        Estimate: _estimate,
    }
    if isinstance(found, Log):
        return [("warning", found.text)] if found.level == "warning" else []
    known = shape.get(type(found))
    return known(found) if known else []


def _model(found: Model) -> list[tuple[str, str]]:
    line = (
        f"{found.path} ({found.architecture}): {words.short_count(found.parameters)} parameters, of which "
        f"{words.short_count(found.scope)} in {found.matrices} matrices move; "
        f"context {words.count(found.context)} tokens"
    )
    download = [("", f"{words.size(found.download)} to be downloaded first")] if found.download else []
    return [("model", line), *download]


def _setting(found: Setting) -> list[tuple[str, str]]:
    why = found.why.removeprefix("runtime: ")
    return [
        ("runtime", f"{found.runtime} ({why}) on {found.device}, {found.dtype}"),
        ("updates", found.updates.partition(": ")[2]),
    ]


def _data(found: Data) -> list[tuple[str, str]]:
    counted = (
        f"{words.count(found.train)} examples to train on, {words.count(found.validation)} to validate on; "
        f"the longest has {words.count(found.longest)} tokens"
    )
    lines = [("data", counted), ("prompt", f"{found.prompt.text!r} ({tokens(found.prompt.tokens)})")]
    for number, option in enumerate(found.options):
        right = ", the right one" if number == found.label and len(found.options) > 1 else ""
        lines.append(("option", f"{option.text!r} ({tokens(option.tokens)}{right})"))
    return lines


def tokens(number: int) -> str:
    """A number of tokens."""
    return "1 token" if number == 1 else f"{words.count(number)} tokens"


def _room(found: Room) -> list[tuple[str, str]]:
    parts = ", ".join(f"{name} {words.size(size)}" for name, size in found.parts.items())
    verdict = "fits" if found.needed <= found.available else "does not fit"
    first = f"{words.size(found.needed)} of {words.size(found.available)} free on {found.where}: {verdict}"
    return [(found.of, first), ("", parts)]


def _estimate(found: Estimate) -> list[tuple[str, str]]:
    return [
        ("estimate", f"about {words.rough(found.total)} in all"),
        (
            "",
            f"start-up {words.span(found.start_up)}, a step {words.brief(found.step)} "
            f"({words.count(found.tokens_per_s)} tok/s), "
            f"{found.evaluations} evaluations of {words.span(found.evaluation)}",
        ),
    ]
