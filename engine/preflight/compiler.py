"""Whether Triton can build what it launches kernels with: C against Python.h, compiled when the first one runs.

On CUDA vLLM's LoRA kernels are Triton's, and so are those that draw directions, for either runtime. A launcher that was
built before lies in Triton's cache, and may do without a compiler; a new kernel, or another version, may not, so that
is not looked for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from engine.errors import UserError
from engine.gpus import Trouble

_HEADERS = ("dlfcn.h", "stdbool.h", "stdio.h", "stdlib.h", "Python.h")  # of triton/backends/nvidia/driver.c
_ALL_OF_IT = "install a C compiler and its headers, such as apt install build-essential"


def check_compiler(device: str) -> None:
    """Raise `UserError` where no run on `device` could run its kernels."""
    if device != "cpu" and (missing := trouble()):
        raise UserError(f"model.device: {missing.found}; {missing.remedy}, or use --set model.device=cpu")


def trouble() -> Trouble | None:
    """What is missing, by compiling what Triton compiles as it does. (triton/runtime/build.py, 3.6 to 3.9)"""
    compiler = os.environ.get("CC", shutil.which("gcc") or shutil.which("clang"))
    if compiler is None:
        return Trouble("Triton needs a C compiler, and there is no gcc or clang", _ALL_OF_IT)
    scheme = sysconfig.get_default_scheme()
    headers = sysconfig.get_paths(scheme="posix_prefix" if scheme == "posix_local" else scheme)["include"]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "launcher.c")
        source.write_text("".join(f"#include <{name}>\n" for name in _HEADERS), encoding="utf-8")
        command = [compiler, str(source), "-shared", "-fPIC", "-Wno-psabi", "-o", f"{folder}/launcher.so"]
        try:
            done = subprocess.run(
                [*command, f"-I{headers}"],
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                env={**os.environ, "LC_ALL": "C"},
            )
        except OSError as error:
            told = f"Triton needs a C compiler, and CC={compiler} does not start ({error.strerror})"
            return Trouble(told, "set CC to the path of one, or unset it")
    if done.returncode == 0:
        return None
    if "Python.h" in done.stderr:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return Trouble(
            f"Triton needs Python.h, and {headers} has none",
            f"install Python's headers, such as apt install python{version}-dev",
        )
    why = next((line for line in done.stderr.splitlines() if "error" in line), f"exit code {done.returncode}")
    told = f"Triton needs a C compiler, and {compiler} does not work ({why[:200]})"
    return Trouble(told, _ALL_OF_IT)
