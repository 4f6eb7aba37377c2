"""`python -m engine.benchmark.on_gpu --to DIR`: all that one wants from fifteen minutes on a card, in one command.

Every part has a process and a time limit of its own, and writes DIR/PART.json when it is over; DIR/table.md is
written anew each time. The same command again goes on where the last one ended. It needs no network: the built-in
demo and shapes with random weights, unless `--model` names a folder.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from engine.benchmark.on_gpu.parts import Part, parts
from engine.benchmark.on_gpu.results import Result, read, write
from engine.benchmark.on_gpu.settings import Settings
from engine.benchmark.on_gpu.table import table
from engine.benchmark.on_gpu.work import work
from engine.errors import EXIT_DONE, EXIT_FAILED, UserError
from engine.gpus import mask_gpus
from engine.preset.schema import BUILTIN_DEMO
from engine.stdio import exit_code
from engine.text import plain


def main() -> int:
    """The command: 0 if no part failed, 1 if one did."""
    arguments = _arguments()
    return exit_code(lambda: _all(arguments))


def _all(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    settings = _settings(arguments)
    every = parts(settings)
    chosen = _chosen(every, arguments.parts)
    folder: Path = arguments.to.expanduser().absolute()
    _open(folder, settings)
    results = {part.name: found for part in every if (found := read(folder, part.name))}
    left_out = 0
    for part in chosen:
        before = results.get(part.name)
        if before is not None and not (arguments.again and before.outcome != "passed"):
            _say(before, "before: ")
        elif time.monotonic() - began > arguments.minutes * 60:
            left_out += 1
            print(f"left out  {part.name}: the {arguments.minutes:g} minutes are over", flush=True)
        else:
            # What is cut off by others, at the end of their time, would be lost with its log.
            left = arguments.minutes * 60 - (time.monotonic() - began)
            results[part.name] = work(
                replace(part, most_seconds=min(part.most_seconds, max(60, left))), settings, folder
            )
            write(folder, results[part.name])
            _say(results[part.name])
        (folder / "table.md").write_text(table(settings, every, results), encoding="utf-8")
    if left_out:
        print(f"{left_out} left out; the same command again goes on with them", flush=True)
    failed = any(results[part.name].outcome == "failed" for part in chosen if part.name in results)
    return EXIT_FAILED if failed else EXIT_DONE


def _say(result: Result, when: str = "") -> None:
    print(plain(f"{result.outcome:<8}  {result.part}: {when}{result.text} ({result.seconds:.0f} s)"), flush=True)


def _settings(arguments: argparse.Namespace) -> Settings:
    """What the parts are told. Raises `UserError`."""
    from engine.clients.telemetry import Gpus

    device = arguments.device
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise UserError(f"--device {device}: not a device; use cuda, cuda:1, ..., or cpu with --small")
    if not arguments.minutes > 0:
        raise UserError(f"--minutes {arguments.minutes:g}: give more than 0")
    model = arguments.model
    if model != BUILTIN_DEMO:
        folder = Path(model).expanduser().absolute()
        if not (folder / "config.json").is_file():
            raise UserError(f"--model {model}: not a model's folder")
        model = str(folder)
    if device == "cpu":
        if not arguments.small:
            raise UserError("--device cpu: would take hours at these sizes; add --small, which rehearses it")
        return Settings(device="cpu", card="a CPU", model=model, small=True)
    gpus = Gpus.open(mask_gpus(device))  # from here on it is the only one that the parts see
    if gpus is None:
        raise UserError(f"--device {device}: NVIDIA's driver knows no such GPU here; --device cpu --small rehearses it")
    return Settings(
        device="cuda", card=next((gpu.name for gpu in gpus.read()), "a GPU"), model=model, small=arguments.small
    )


def _chosen(every: Sequence[Part], names: str | None) -> list[Part]:
    """Those that are named, or begin with a name and a dash. Raises `UserError`."""
    if names is None:
        return list(every)
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if not any(_is_one(part, name) for part in every):
            raise UserError(f"--parts {name}: no such part; there are {', '.join(part.name for part in every)}")
    return [part for part in every if any(_is_one(part, name) for name in wanted)]


def _is_one(part: Part, name: str) -> bool:
    return part.name == name or part.name.startswith(f"{name}-")


def _open(folder: Path, settings: Settings) -> None:
    """Make the folder, or go on in one with the same settings. Raises `UserError`."""
    file = folder / "settings.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if file.exists():
            had = msgspec.json.decode(file.read_bytes(), type=Settings)
            if had != settings:
                raise UserError(f"--to {folder}: holds results of other settings ({_told(had)}); choose another folder")
        file.write_bytes(msgspec.json.encode(settings))
    except OSError as error:
        raise UserError(f"--to {folder}: cannot be written ({error.strerror})") from None
    except msgspec.DecodeError as error:
        raise UserError(f"{file}: cannot be read ({error}); choose another folder") from None


def _told(settings: Settings) -> str:
    return f"{settings.card}, {settings.device}, {settings.model}{', small' if settings.small else ''}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine.benchmark.on_gpu")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="where results go; again to go on")
    parser.add_argument("--parts", metavar="A,B", help="these alone; `steps` is all that begin with it")
    parser.add_argument("--again", action="store_true", help="do what did not pass again")
    parser.add_argument("--minutes", type=float, default=15, help="after which no part is begun (15)")
    parser.add_argument("--model", default=BUILTIN_DEMO, metavar="FOLDER", help="a small real model; else the demo's")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, ..., or cpu with --small")
    parser.add_argument("--small", action="store_true", help="the smallest sizes: a rehearsal, no measurement")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
