"""`python -m engine.doctor`: what is installed here, what is wrong, and the line that mends it.

Standard output is a JSON line for every finding. The exit code is 1 if a run could not start.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Literal

import msgspec

from engine import environment, gpus
from engine.environment import prepare, prepare_device
from engine.errors import EXIT_DONE, EXIT_FAILED, UserError, first_line
from engine.gpus import NoDriver, nvml
from engine.machine import versions
from engine.preflight import compiler
from engine.runs.home import home
from engine.stdio import leave, take_stdout

_GiB = 2**30
_TRIED = ((0, 26), (0, 33))  # releases of vLLM: what tests.rehearsal and tests.versions have passed
_LEAST_DISK = 2 * _GiB  # bytes


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "warning", "wrong"]  # wrong: no run can start
    found: str
    remedy: str = ""  # what to type or do


def main() -> int:
    """The command."""
    answers = os.fdopen(take_stdout(), "w", buffering=1, encoding="utf-8")
    prepare()
    wrong = False
    for finding in examine():
        answers.write(msgspec.json.encode(asdict(finding)).decode() + "\n")
        wrong |= finding.state == "wrong"
    return EXIT_FAILED if wrong else EXIT_DONE


def examine() -> Iterator[Finding]:
    """Look at everything; what takes longest comes last."""
    yield _python()
    yield _disk()
    for package in ("torch", "transformers", "datasets"):
        finding = _package(package)
        yield finding
        if finding.state == "wrong":
            return  # nothing that follows could be looked at
    if absent := environment.absent():
        yield Finding("without", "ok", f"{', '.join(absent)}: installed, but not loading; zotui needs none of them")
    yield _memory()
    yield from _gpus()
    yield from _vllm()
    yield from _environment()


def _python() -> Finding:
    here = f"{sys.version.split()[0]}, {sys.executable}"
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("python", "ok", here)
    return Finding("python", "warning", here, "make a virtual environment with Python 3.11 to 3.13")


def _package(name: str) -> Finding:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError:
        return Finding(name, "wrong", "is not installed", "pip install 'zotui[cuda]' (NVIDIA) or 'zotui[cpu]'")
    except Exception as error:  # noqa: BLE001 - any fault of an installation, from a missing library to a bad build
        told = f"does not load ({type(error).__name__}: {first_line(error)[:120]})"
        return Finding(name, "wrong", told, f"pip install --force-reinstall --no-deps {name}, or a new environment")
    return Finding(name, "ok", str(module.__version__))


def _disk() -> Finding:
    folder = home()
    there = folder
    while not there.exists():
        there = there.parent
    if not (there.is_dir() and os.access(there, os.W_OK)):
        return Finding("home", "wrong", f"{folder} cannot be written", "set ZOTUI_HOME to a folder of yours")
    free = shutil.disk_usage(there).free
    told = f"{folder}, {free / _GiB:,.1f} GiB free"
    if free < _LEAST_DISK:
        return Finding("home", "warning", told, "make room, or set ZOTUI_HOME to a larger disk")
    return Finding("home", "ok", told)


def _memory() -> Finding:
    import psutil
    import torch

    memory = psutil.virtual_memory()
    told = f"{memory.available / _GiB:.1f} of {memory.total / _GiB:.1f} GiB free, {torch.get_num_threads()} threads"
    return Finding("memory", "ok", told)


def _gpus() -> Iterator[Finding]:
    """Every GPU that the driver knows, and whether torch can use them."""
    import torch

    try:
        asked = nvml()
    except NoDriver as error:
        if not error.outdated:
            yield Finding("gpu", "ok", f"none that NVIDIA's driver knows ({error}); runs use the CPU")
            return
    else:
        driver = asked.nvmlSystemGetDriverVersion()
        for index in range(asked.nvmlDeviceGetCount()):
            handle = asked.nvmlDeviceGetHandleByIndex(index)
            told = f"{asked.nvmlDeviceGetName(handle)}, driver {driver}"
            with suppress(asked.NVMLError):  # those that share the machine's memory tell nothing of it
                memory = asked.nvmlDeviceGetMemoryInfo(handle)
                told += f", {int(memory.free) / _GiB:.1f} of {int(memory.total) / _GiB:.1f} GiB free"
            yield Finding(f"gpu {index}", "ok", told)
    if not torch.cuda.is_available() and (found := gpus.trouble()):
        yield Finding("cuda", "wrong", found.found, f"{found.remedy}, or --set model.device=cpu")


def _vllm() -> Iterator[Finding]:
    from engine.preflight.choose import choose_device, choose_runtime

    try:
        device = choose_device("auto")
    except UserError:  # the GPU's own finding says why
        return
    prepare_device(device)
    name, why = choose_runtime("auto", device)
    if name != "vllm":
        kind = "cpu" if device == "cpu" else "cuda"
        yield Finding("vllm", "warning", why, f"pip install 'zotui[{kind}]'")
        return
    if device != "cpu" and (missing := compiler.trouble()):
        yield Finding("compiler", "wrong", missing.found, f"{missing.remedy}, or --set model.device=cpu")
    version = next((found for name, found in versions().items() if name.startswith("vllm")), "")
    release = tuple(int(part) for part in version.split("+")[0].split(".")[:2] if part.isdigit())
    if not _TRIED[0] <= release <= _TRIED[1]:
        tried = " to ".join(".".join(map(str, release)) for release in _TRIED)
        yield Finding("vllm", "warning", f"{version}: not tried with zotui, {tried} was")
    else:
        yield Finding("vllm", "ok", version)


def _environment() -> Iterator[Finding]:
    """What is set otherwise than the user has it; known once the device is."""
    if line := environment.overruled():
        yield Finding("environment", "ok", line)


if __name__ == "__main__":
    leave(main())
