"""The same run whatever the locale and whatever standard output can hold; what it cannot is written out."""

from __future__ import annotations

import codecs
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.runs.directory import RunDir
from tests.engine.conftest import Runner
from zotui.text.output import written_out

# No locale of another encoding is sure to be installed; this one has none at all, and Python's help is declined.
NO_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
# With these, set for other programs, libraries do not load, and Python asks on after the end.
SWITCHES = {"PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2", "PYTHONINSPECT": "1"}
TEXT = "très bon café 文字 ☕ 𝄞"


@pytest.fixture
def abroad(tiny_run: Runner, tmp_path: Path) -> Runner:
    """A run whose file, columns, options and preset are in no language that ASCII could hold."""
    folder = tmp_path / "naïve ☕ 文"
    folder.mkdir()
    data = folder / "données.jsonl"
    rows = [json.dumps({"avis": f"{TEXT} {n}", "label": n % 2}, ensure_ascii=False) for n in range(16)]
    data.write_text("\n".join(rows), encoding="utf-8")
    lines = tiny_run.preset.read_text().splitlines()
    lines = [line for line in lines if not line.strip().startswith(("name", "train", "validation"))]
    task = f'train = "{data}"\nvalidation = "{data}"\ntemplate = "{{avis}} — c’était"\nlabel = "label"\n'
    at = next(n for n, line in enumerate(lines) if line.strip() == "[task]") + 1
    lines.insert(at, task + 'verbalizer = { 0 = "nul, 悪い", 1 = "génial" }')
    preset = folder / "préréglage.toml"
    preset.write_text("\n".join(lines), encoding="utf-8")
    return Runner(tiny_run.home, preset, ["run.steps=2"])


def test_a_run_is_the_same_in_a_locale_without_utf8_and_under_switches_for_another_python(
    abroad: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_home = abroad()
    for name, value in {**NO_UTF8, **SWITCHES}.items():
        monkeypatch.setenv(name, value)
    away = abroad()
    assert (at_home.code, away.code) == (0, 0), away.stderr
    assert "Traceback" not in away.stderr
    assert [_losses(run) for run in (at_home, away)] == [_losses(at_home)] * 2 != [[], []]
    assert RunDir(away.folder).preset() == RunDir(at_home.folder).preset()
    assert RunDir(away.folder).preset().task.template == "{avis} — c’était"
    assert any("données.jsonl" in event["detail"] for event in away.of("phase"))
    log = (away.folder / "engine.log").read_text(encoding="utf-8")
    assert "naïve ☕ 文" in log


def _losses(run: Any) -> list[float]:
    return [step["loss_plus"] for step in run.of("step")]


@pytest.mark.parametrize(
    ("warnings", "left"),
    [
        ("e", "None"),
        ("default, err::UserWarning", "None"),
        ("ignore:an error,d", "ignore:an error,d"),
        (",once", ",once"),
    ],
)
def test_only_warnings_that_are_errors_are_in_the_way(warnings: str, left: str) -> None:
    look = "from zotui.interpreter import settle; settle(); import os; print(os.environ.get('PYTHONWARNINGS'))"
    environ = {**os.environ, "PYTHONWARNINGS": warnings, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, env=environ)
    assert done.stdout.strip() == left, done.stderr


def test_what_an_encoding_cannot_hold_is_written_out_as_json_reads_it() -> None:
    codecs.register_error("tested", written_out)
    for encoding in ("ascii", "latin-1", "cp437"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="tested")
        stream.write(json.dumps(TEXT, ensure_ascii=False))
        stream.flush()
        stream.seek(0)
        assert json.loads(stream.read()) == TEXT, encoding
