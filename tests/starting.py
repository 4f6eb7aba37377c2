"""Start `python -m engine` and `python -m zotui`: as forks where that proves the same, or as fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import IO, Any

from tests import forked


def start(
    arguments: list[str], *, env: Mapping[str, str] | None = None, stderr: IO[Any]
) -> subprocess.Popen[bytes] | forked.Process:
    """A process in a session of its own, with pipes for its standard input and output."""
    env = dict(os.environ if env is None else env)
    (theirs_in, ours_in), (ours_out, theirs_out) = os.pipe(), os.pipe()
    try:
        process = forked.Process(arguments, env, (theirs_in, theirs_out, stderr.fileno()), session=True)
    except forked.Unlike:
        os.close(ours_in)
        os.close(ours_out)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": stderr}
        return subprocess.Popen([sys.executable, *arguments], env=env, start_new_session=True, **pipes)
    finally:
        os.close(theirs_in)
        os.close(theirs_out)
    process.stdin, process.stdout = os.fdopen(ours_in, "wb"), os.fdopen(ours_out, "rb")
    return process


def run(
    arguments: list[str],
    *,
    given: str = "",
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
    check: bool = False,
) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENTS` to its end, with `given` to read and its output captured."""
    env = dict(os.environ if env is None else env)
    with (
        tempfile.TemporaryFile("w+") as read,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as errors,
    ):
        read.write(given)
        read.seek(0)
        try:
            process = forked.Process(arguments, env, (read.fileno(), out.fileno(), errors.fileno()), session=False)
        except forked.Unlike:
            whole = [sys.executable, *arguments]
            code = subprocess.run(whole, env=env, stdin=read, stdout=out, stderr=errors, timeout=timeout).returncode
        else:
            code = _within(timeout, process)
        out.seek(0)
        errors.seek(0)
        done = subprocess.CompletedProcess(arguments, code, out.read(), errors.read())
    if check:
        done.check_returncode()
    return done


def _within(seconds: float, process: forked.Process) -> int:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
