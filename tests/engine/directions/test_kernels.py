"""The GPU's kernels do what the processor's code does, bit for bit, and are such as compile for every card."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

triton = importlib.util.find_spec("triton")
pytestmark = pytest.mark.skipif(triton is None, reason="Triton is not installed")


def told_by(module: str, *arguments: str, **environment: str) -> dict[str, bool]:
    """What a script says of each of its checks. Triton reads its environment once, when it is imported."""
    command = [sys.executable, "-m", f"tests.engine.directions.{module}", *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_interpreted_kernels_give_the_bits_of_the_processor() -> None:
    told = told_by("interpreted", TRITON_INTERPRET="1")
    assert len(told) > 20
    assert [check for check, same in told.items() if not same] == []


def test_kernels_compile_for_old_and_new_cards() -> None:
    told = told_by("compiled", "80", "120")
    assert len(told) > 20
    assert [check for check, fine in told.items() if not fine] == []
