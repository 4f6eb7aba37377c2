"""The house rules: style, types, and who may import whom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["importlinter.cli"],
    ],
    ids=["ruff", "format", "mypy", "imports"],
)
def test_rule(command: list[str]) -> None:
    if command == ["importlinter.cli"]:
        command = ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    else:
        command = ["-m", *command]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_environment_is_prepared_before_what_reads_it_is_imported() -> None:
    """`environment.prepare` is called by the engine's main function: until then nothing may have loaded these."""
    heavy = ("torch", "transformers", "datasets", "vllm", "tokenizers")
    command = f"import sys, engine.__main__; print(*[m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
