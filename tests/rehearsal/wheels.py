"""Where vLLM's CUDA wheels are: a virtual environment for each version, made once, and the stub of a driver in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from platformdirs import user_cache_path

VERSIONS = {"oldest": "0.26.0", "middle": "0.30.0", "newest": "0.33.0"}
ROOT = Path(__file__).resolve().parents[2]
STUB = Path(__file__).with_name("stub.c")

# Told by a wheel's own Python: what torch vLLM pins and which is there, and which of zotui's libraries are missing.
_TELL = """
import importlib.metadata as m, json, sys
pin = next(r.split("==")[1].split(";")[0].strip() for r in m.requires("vllm") if r.startswith("torch=="))
names = {d.metadata["Name"].lower().replace("_", "-") for d in m.distributions()}
print(json.dumps({"vllm": m.version("vllm"), "torch": m.version("torch"), "pin": pin,
                  "missing": [n for n in sys.argv[1:] if n not in names]}))
"""


def cache() -> Path:
    """Where the environments are kept, unless told otherwise."""
    return user_cache_path("zotui") / "rehearsal"


def python_of(version: str, folder: Path) -> Path:
    """The Python of `folder/cuda-VERSION`, made if it is not there. Raises CalledProcessError."""
    place = folder / f"cuda-{version}"
    python = place / "bin/python"
    if not python.exists():
        print(f"making {place}: vLLM {version} with CUDA's libraries, 9 GB, some minutes", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        _pip(python, f"vllm=={version}")
    told = _tell(python)
    if "+cpu" in told["torch"]:
        # An index may have a build for the CPU alone, which `==` takes for the newer one.
        _pip(python, f"torch==={told['pin']}")
    if told["missing"]:
        _pip(python, *told["missing"])
    stub_of(version, folder)
    return python


def stub_of(version: str, folder: Path) -> Path:
    """The stub of libcuda, compiled if it is not there, or older than its source."""
    stub = folder / f"cuda-{version}/stub/libcuda.so.1"
    if not stub.exists() or stub.stat().st_mtime < STUB.stat().st_mtime:
        stub.parent.mkdir(exist_ok=True)
        command = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", str(stub), str(STUB)]
        subprocess.run(command, check=True)
    return stub


def environment_of(version: str, folder: Path, card: str) -> dict[str, str]:
    """The environment of a process on a simulated card such as `8.9/24`."""
    from tests.rehearsal import simulated

    kept = {name: value for name, value in os.environ.items() if not name.startswith("CUDA_")}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        simulated.LIBCUDA: str(stub_of(version, folder)),
        simulated.CARD: card,
        "VLLM_CACHE_ROOT": str(folder / f"cuda-{version}/vllm-cache"),
        "VLLM_LOGGING_LEVEL": "ERROR",
        "OMP_NUM_THREADS": "1",
    }


def _tell(python: Path) -> dict[str, object]:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [text.split(">")[0].split("<")[0].split("=")[0].strip().lower() for text in wanted]
    needed = [name for name in names if not name.startswith(("textual", "typer"))]  # the app is not rehearsed
    done = subprocess.run([str(python), "-c", _TELL, *needed], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _pip(python: Path, *wanted: str) -> None:
    subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True)
