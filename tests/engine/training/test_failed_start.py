"""What nobody foresaw, before the first step: one line that names the log, and no run is left."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import EXIT_FAILED, EXIT_USAGE, unforeseen
from engine.models.facts import dtype_of
from engine.preset.load import load
from engine.protocol import findings
from engine.runs.directory import RunDir
from tests.engine.conftest import Runner
from tests.engine.preflight.test_command import one, preflight

CODE = """
from transformers import LlamaForCausalLM
from .own_config import OwnConfig
class Own(LlamaForCausalLM):
    config_class = OwnConfig
    def forward(self, *arguments, **more):
        raise ZeroDivisionError("a kernel\\nof theirs")
"""


@pytest.fixture
def broken(tmp_path: Path, tiny_models: dict[str, Path]) -> Path:
    """A model whose own code raises when it is first asked for scores."""
    folder = Path(shutil.copytree(tiny_models["llama"], tmp_path / "broken", copy_function=shutil.copyfile))
    (folder / "own.py").write_text(CODE)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own",
        "architectures": ["OwnForCausalLM"],
        "auto_map": {"AutoConfig": "own_config.OwnConfig", "AutoModelForCausalLM": "own.Own"},
    }
    (folder / "own_config.py").write_text(
        "from transformers import LlamaConfig\nclass OwnConfig(LlamaConfig):\n    model_type = 'own'\n"
    )
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("named", [True, False])
def test_a_run_that_fails_before_its_first_step_is_taken_back_and_its_log_kept(
    tiny_run: Runner, broken: Path, named: bool, home: Path
) -> None:
    folder = tiny_run.home / "mine" if named else None
    done = tiny_run(f"model.path={broken}", "model.trust_remote_code=true", folder=folder)
    assert done.code == 2
    *warned, line = done.stderr.splitlines()
    assert all(one.startswith("warning: model.trust_remote_code: ") for one in warned)
    log = tiny_run.home / "logs" / f"{done.folder.name}.log"
    assert line == (
        "zotui: the run cannot start: a library failed on its model, its data or this machine "
        f"(ZeroDivisionError: a kernel); its log is {log}"
    )
    assert "Traceback (most recent call last)" in log.read_text() and "of theirs" in log.read_text()
    (error,) = done.of("error")
    assert (error["kind"], f"zotui: {error['text']}") == ("start", line)
    assert not done.folder.exists()


FAILS = """
import sys
import engine.__main__ as command
from engine.errors import RunFailed
def train(*_, **__):
    raise RunFailed("the self-check could not be made: so and so")
command.train = train
sys.exit(command.main())
"""


def test_a_failure_that_was_foreseen_leaves_no_run_either_before_its_first_step(tiny_run: Runner, home: Path) -> None:
    run = RunDir.create(load("p", tiny_run.preset.read_text()), "p", tiny_run.home / "mine")
    run.log_file.write_text("said\n")
    done = subprocess.run(
        [sys.executable, "-c", FAILS, str(run.path)], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    last = json.loads(done.stdout.splitlines()[-1])
    log = home / "logs" / "mine.log"
    assert (done.returncode, last["kind"]) == (EXIT_FAILED, "start")  # whoever started it takes it back
    assert last["text"] == f"the self-check could not be made: so and so; its log is {log}"
    assert log.read_text() == "said\n"


def test_a_preflight_says_it_in_a_line_too(tiny_run: Runner, broken: Path, home: Path) -> None:
    settings = [f"model.path={broken}", "model.trust_remote_code=true"]
    code, found, _ = preflight("--calibrate", "-", given=load("p", tiny_run.preset.read_text(), settings).to_toml())
    assert code == 2
    assert one(found, findings.Error).text.startswith(
        "the run cannot start: a library failed on its model, its data or this machine (ZeroDivisionError: a kernel); "
    )


def test_whose_fault_it_is_is_told_by_who_raised_it() -> None:
    def told(act: object) -> tuple[str, int]:
        try:
            act()  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001 - whatever it is, as where it is caught
            return unforeseen(error)
        raise AssertionError

    text, code = told(lambda: dtype_of("float7"))
    assert code == EXIT_FAILED and text.startswith("a fault of zotui's own before the first step (KeyError: 'float7')")
    text, code = told(lambda: json.loads("{"))
    assert code == EXIT_USAGE and "a library failed" in text and "(JSONDecodeError: Expecting" in text
    assert unforeseen(MemoryError())[0].endswith("(MemoryError)")
