"""The house rules: style, types, and who may import whom."""

from __future__ import annotations

import ast
import re
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


@pytest.mark.parametrize("package", ["engine", "zotui"])
def test_the_map_names_every_folder_and_nothing_else(package: str) -> None:
    text = (ROOT / package / "README.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    named = {name.rstrip("/") for row in rows for name in re.findall(r"`([^`]+/)`", row.split("|")[1])}
    folders = {path.parent.relative_to(ROOT / package) for path in (ROOT / package).rglob("*.py")}
    assert named == {str(folder) for folder in folders} - {"."}
    told = re.findall(r"`((?:engine|zotui)/[\w/]+\.py)`", text)
    assert told and [name for name in told if not (ROOT / name).is_file()] == []
    files = {name for row in rows for name in re.findall(r"`([^`/]+\.py)`", row.split("|")[1])}
    there = {path.name for path in (ROOT / package).glob("*.py")} - {"__init__.py", "__main__.py"}
    assert files - {"__main__.py"} == there


def test_the_spine_can_be_read() -> None:
    text = (ROOT / "engine/README.md").read_text()
    spine = re.findall(r"(?m)^\d+\. `([\w/]+\.py)`$", text.partition("## Spine")[2])
    lines = {name: len((ROOT / "engine" / name).read_text().splitlines()) for name in spine}
    assert len(lines) > 10 and sum(lines.values()) < 2200, f"{sum(lines.values())} lines: {lines}"
    sources = "".join((ROOT / "engine" / name).read_text() for name in spine)
    opened_by_name = {"runtimes/vllm/runtime.py", "runtimes/vllm/worker/worker.py"}  # by preflight/open and by vLLM
    for name in {*spine[1:]} - opened_by_name:
        folder, _, module = f"engine/{name[:-3]}".replace("/", ".").rpartition(".")
        assert re.search(rf"from {folder}(\.{module} import| import .*\b{module}\b)", sources), f"{name}: used by none"


def test_text_is_utf_8_whatever_the_locale() -> None:
    """Every text file that is opened, and every pipe that is read as text, says its encoding (ruff sees but some)."""
    found = []
    for path in (file for package in ("engine", "zotui") for file in (ROOT / package).rglob("*.py")):
        for call in (
            node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
        ):
            if _reads_by_locale(call):
                found.append(f"{path.relative_to(ROOT)}:{call.lineno}")
    assert found == []


def _reads_by_locale(call: ast.Call) -> bool:
    method = isinstance(call.func, ast.Attribute)
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if any(keyword.arg == "encoding" for keyword in call.keywords):
        return False
    if name in ("read_text", "write_text", "TextIOWrapper") and method:
        return True
    if name in ("open", "fdopen"):
        modes = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        return any(re.fullmatch("[rwax][+t]*", mode) for mode in modes) or (not method and len(call.args) == 1)
    return any(
        keyword.arg in ("text", "universal_newlines") and getattr(keyword.value, "value", None) is True
        for keyword in call.keywords
    )
