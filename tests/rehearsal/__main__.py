"""`python -m tests.rehearsal`: the engine and vLLM's CUDA code on a simulated card, as a table; see the package."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.rehearsal import engine_run, verdict, wheels
from tests.rehearsal.broken import BROKEN
from tests.rehearsal.cases import Case, cases
from tests.rehearsal.table import Row, lines

_MEMORY = 24  # GiB of every card
_PATIENCE = 3600  # seconds for a process


def main() -> int:
    """Print a line for every problem, and the table; 1 if there was any."""
    parser = argparse.ArgumentParser(prog="python -m tests.rehearsal", description=__doc__)
    parser.add_argument("--venvs", type=Path, default=wheels.cache(), metavar="DIR", help="has DIR/cuda-VERSION")
    parser.add_argument("--quick", action="store_true", help="a handful of cases, of the newest version")
    parser.add_argument("--only", default="", metavar="PATTERN", help="cases whose name has it, a regular expression")
    parser.add_argument("--case", type=int, action="append", default=[], metavar="N", help="by number; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything that was found, a line a case")
    parser.add_argument("--list", action="store_true", help="name the cases and do nothing")
    arguments = parser.parse_args()
    chosen = [
        (number, case)
        for number, case in enumerate(cases(quick=arguments.quick), 1)
        if re.search(arguments.only, case.name) and (not arguments.case or number in arguments.case)
    ]
    if arguments.list:
        print("\n".join(f"{number:3} {case.name}" for number, case in chosen))
        return 0
    rows: list[Row] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="zotui-rehearsal-") as folder:
        for number, case in chosen:
            row, found = rehearse(case, arguments.venvs, Path(folder), number)
            rows.append(row)
            state = "as it should be" if row.fine else "WRONG"
            print(f"{time.monotonic() - began:6.0f} s  {number} {case.name}: {state}", file=sys.stderr)
            for problem in row.problems:
                print(f"          {problem}", file=sys.stderr)
            if arguments.json:
                with arguments.json.open("a") as file:
                    told = {"case": asdict(case), "fine": row.fine, "problems": row.problems, "found": found}
                    file.write(json.dumps(told) + "\n")
    print("\n".join(lines(rows)))
    return 0 if all(row.fine for row in rows) else 1


def rehearse(case: Case, venvs: Path, folder: Path, number: int) -> tuple[Row, Any]:
    """One case, and what its process found. Whatever fails is a problem of its row."""
    began = time.monotonic()
    row, found = Row(case), None
    try:
        python = wheels.python_of(case.version, venvs)
        environment = wheels.environment_of(case.version, venvs, f"{case.card}/{_MEMORY}")
        if case.counting:
            found = json.loads(
                _run([str(python), "-P", "-m", "tests.rehearsal.counting"], environment).splitlines()[-1]
            )
            row.problems = list(found)
        elif case.on_gpu:
            engine_run.make_demo(venvs)
            found = engine_run.fifteen_minutes(
                python, environment, folder / f"card-{number}", engine_run.demo_home(venvs)
            )
            row.problems = [line for line in found["told"] if not line.startswith("passed")]
            if found["code"]:
                row.problems.append(f"it ended with {found['code']}")
        elif case.engine:
            engine_run.make_demo(venvs)
            home = engine_run.demo_home(venvs)
            found = engine_run.run(python, environment, folder / f"run-{number}", home, case.dtype, graphs=case.graphs)
            row.problems, row.self_check = engine_run.problems(found), found["self_check"]
        else:
            reference = _reference(case, folder)
            found = _take(case, python, environment, reference, folder, graphs=case.graphs)
            eager = None
            if case.graphs and not case.broken:
                eager = _take(case, python, environment, reference, folder, graphs=False)
            row.self_check, row.figures = found["self_check"], verdict.figures(found, reference)
            row.problems = verdict.problems(case, found, eager, row.figures)
    except _Failed as error:
        row.problems = [str(error)]
    row.seconds = time.monotonic() - began
    if case.broken:
        wanted = BROKEN[case.broken][1]
        row.fine = any(wanted in problem for problem in row.problems)
        if not row.fine:
            row.problems.append(f"broken on purpose, and nobody said: {wanted}")
    else:
        row.fine = not row.problems
    return row, found


class _Failed(Exception):
    """A process ended otherwise than it should; the text is the last that it said."""


def _reference(case: Case, folder: Path) -> list[dict[str, Any]]:
    """The steps by the conventional loop, taken once for all cases that share them."""
    shared = ("model", "option_tokens", "rank", "queries", "method", "settings", "rate")
    asked = json.dumps({name: getattr(case, name) for name in shared})
    file = folder / f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}.json"
    if not file.exists():
        _run([sys.executable, "-m", "tests.rehearsal.reference", str(folder), asked, str(file)], None)
    return json.loads(file.read_text())


def _take(
    case: Case, python: Path, environment: dict[str, str], reference: Any, folder: Path, *, graphs: bool
) -> dict[str, Any]:
    asked = {**asdict(case), "graphs": graphs, "path": str(folder / case.model), "reference": reference}
    said = _run([str(python), "-P", "-m", "tests.rehearsal.take", json.dumps(asked)], environment)
    return json.loads(said.splitlines()[-1])


def _run(command: list[str], environment: dict[str, str] | None) -> str:
    try:
        done = subprocess.run(
            command, env=environment, cwd=wheels.ROOT, capture_output=True, text=True, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise _Failed(f"no end after {_PATIENCE} s") from None
    if done.returncode:
        raise _Failed(_last_words(done.stderr))
    return done.stdout


def _last_words(stderr: str) -> str:
    """The error that a process ended with, and the last of our own lines that it went through."""
    said = [line.removeprefix("[rank0]: ").strip() for line in stderr.splitlines() if line.strip()]
    ours = [line for line in said if line.startswith("File ") and re.search(r"/(engine|vllm)/", line)]
    errors = [at for at, line in enumerate(said) if re.match(r"[\w.]+(Error|Exception|Failed)\b", line)]
    error = " ".join(said[errors[-1] :][:3]) if errors else " ".join(said[-1:])
    return f"{error[:400]}; {ours[-1] if ours else 'no line of the engine'}"


if __name__ == "__main__":
    sys.exit(main())
