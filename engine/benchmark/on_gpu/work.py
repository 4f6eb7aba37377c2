"""A part's process from its start to its end: a crash or a hang loses that part alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from engine.benchmark.on_gpu.parts import Part
from engine.benchmark.on_gpu.results import Found, Result
from engine.benchmark.on_gpu.settings import Settings

_LETTING_GO = 5.0  # seconds in which killed processes give back their memory
_POLL = 0.05


def work(part: Part, settings: Settings, folder: Path) -> Result:
    """Have a part done; its log goes to the folder. The result is not written yet."""
    began = time.monotonic()
    log = folder / f"{part.name}.log"
    log.unlink(missing_ok=True)
    with log.open("ab") as errors, tempfile.TemporaryFile() as answer:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "engine.benchmark.on_gpu.part", part.name),
                *(msgspec.json.encode(settings).decode(), str(folder)),
            ],
            stdin=subprocess.PIPE,  # which ends when this process does
            stdout=answer,
            stderr=errors,
            start_new_session=True,  # so that ctrl-c ends the parts by way of this process
        )
        try:
            process.wait(part.most_seconds)
            cut_off = False
        except subprocess.TimeoutExpired:
            cut_off = True
        finally:
            _end(process)
        answer.seek(0)
        found = _found(answer.read(), process.returncode, log)
    if cut_off:
        text = f"cut off after {part.most_seconds:.0f} s; {_last_words(log)}"
        found = Found(outcome="failed", text=text)
    return Result(
        part=part.name,
        outcome=found.outcome,
        text=found.text,
        figures=found.figures,
        seconds=round(time.monotonic() - began, 1),
        at=time.strftime("%Y-%m-%d %H:%M:%S"),
    )


def _found(answer: bytes, code: int, log: Path) -> Found:
    try:
        return msgspec.json.decode(answer, type=Found)
    except msgspec.DecodeError:
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        return Found(outcome="failed", text=f"its process ended with {how}; {_last_words(log)}")


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"{log.name} ends with: {lines[-1][:200]}" if lines else f"{log.name} is empty"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and all that it started, and wait until they have let go of the device."""
    until = time.monotonic() + _LETTING_GO
    with suppress(ProcessLookupError):  # there is nobody any more
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        while time.monotonic() < until:
            os.killpg(process.pid, 0)
            time.sleep(_POLL)
    process.wait()
    assert process.stdin is not None
    process.stdin.close()
