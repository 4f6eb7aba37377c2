"""File systems for a while, where this user may mount any: a small one that fills up, and a read-only view."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.workshop import Unavailable

_PATIENCE = 240.0  # seconds


def _mount(*arguments: str) -> None:
    if os.geteuid() != 0:
        raise Unavailable("needs root, to mount a file system")
    deadline = time.monotonic() + _PATIENCE
    while (fault := _try_to_mount(*arguments)) and "busy" in fault and time.monotonic() < deadline:
        time.sleep(0.01)  # a file is open for writing there at this moment
    if fault:
        raise Unavailable(f"mounting is not permitted here ({fault})")


def _try_to_mount(*arguments: str) -> str:
    """Why it did not work, or nothing."""
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Unavailable("there is no mount command") from None
    return done.stderr.splitlines()[0].rpartition(": ")[2] if done.returncode else ""


def unmount(folder: Path) -> None:
    """At once, even where a file is open: the name is free, the file stays until it is closed."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[None]:
    """A file system of this size in memory."""
    folder.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder))
    try:
        yield
    finally:
        unmount(folder)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder as nobody, not even root, can write to it; files that are open are not concerned."""
    _mount("--bind", str(folder), str(folder))
    try:
        _mount("-o", "remount,ro,bind", str(folder))
        yield
    finally:
        unmount(folder)
