"""`python -m engine.doctor`: what is installed here, what is wrong, and the line that mends it.

Standard output is a JSON line for every finding. The exit code is 1 if a run could not start.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import msgspec

from engine import environment
from engine.environment import prepare, prepare_device
from engine.errors import EXIT_DONE, EXIT_FAILED, UserError, first_line
from engine.machine import versions
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
    answers = os.fdopen(take_stdout(), "w", buffering=1)
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
    yield _vllm()


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
    import pynvml
    import torch

    try:
        pynvml.nvmlInit()
        driver, count = str(pynvml.nvmlSystemGetDriverVersion()), pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as error:
        yield Finding("gpu", "ok", f"none that NVIDIA's driver knows ({error}); runs use the CPU")
        return
    for index in range(count):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        name = str(pynvml.nvmlDeviceGetName(handle))
        told = f"{name}, {int(memory.free) / _GiB:.1f} of {int(memory.total) / _GiB:.1f} GiB free, driver {driver}"
        yield Finding(f"gpu {index}", "ok", told)
    if count and not torch.cuda.is_available():
        if torch.version.cuda is None:
            told, remedy = f"torch {torch.__version__} is built for the CPU alone", "pip install 'zotui[cuda]'"
        else:
            told = f"torch is built for CUDA {torch.version.cuda}, which driver {driver} does not start"
            remedy = "update NVIDIA's driver"
        yield Finding("cuda", "warning", told, remedy)


def _vllm() -> Finding:
    from engine.preflight.choose import choose_device, choose_runtime

    device = choose_device("auto")
    try:
        prepare_device(device)
        name, why = choose_runtime("auto", device)
    except UserError as error:
        return Finding("vllm", "warning", str(error))
    if name != "vllm":
        kind = "cpu" if device == "cpu" else "cuda"
        return Finding("vllm", "warning", why, f"pip install 'zotui[{kind}]'")
    version = next((found for name, found in versions().items() if name.startswith("vllm")), "")
    release = tuple(int(part) for part in version.split("+")[0].split(".")[:2] if part.isdigit())
    if not _TRIED[0] <= release <= _TRIED[1]:
        tried = " to ".join(".".join(map(str, release)) for release in _TRIED)
        return Finding("vllm", "warning", f"{version}: not tried with zotui, {tried} was")
    return Finding("vllm", "ok", version)


if __name__ == "__main__":
    leave(main())
