"""What Triton needs to launch a kernel is looked for before anything is loaded; by real compilations."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.preflight import choose, compiler, plan
from engine.preset.load import load
from tests.engine.conftest import Runner

needs_compiler = pytest.mark.skipif(not (shutil.which("gcc") or shutil.which("clang")), reason="needs a C compiler")


@pytest.fixture(autouse=True)
def as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)


@needs_compiler
def test_a_compiler_with_python_s_headers_is_enough() -> None:
    if not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
        pytest.skip("needs Python's headers")
    assert compiler.trouble() is None
    compiler.check_compiler("cuda:0")


@needs_compiler
def test_headers_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_paths", lambda scheme: {"include": str(tmp_path)})
    found = compiler.trouble()
    assert found and f"Python.h, and {tmp_path} has none" in found.found
    assert "-dev" in found.remedy


def test_a_compiler_that_is_missing_or_broken_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no gcc or clang" in told(compiler.trouble())
    (tmp_path / "gcc").symlink_to("/bin/false")
    assert f"{tmp_path}/gcc does not work (exit code 1)" in told(compiler.trouble())
    monkeypatch.setenv("CC", "/not/there")  # Triton takes it all the same
    assert "CC=/not/there does not start (No such file or directory)" in told(compiler.trouble())
    with pytest.raises(UserError, match=r"^model.device: Triton needs a C compiler.*, or use --set model.device=cpu$"):
        compiler.check_compiler("cuda:0")
    compiler.check_compiler("cpu")


def told(found: Any) -> str:
    assert found is not None and found.remedy
    return str(found.found)


@pytest.mark.parametrize(
    ("device", "runtime", "refused"),
    [("cuda:0", "vllm", True), ("cuda:0", "training-loop", True), ("cpu", "training-loop", False)],
)
def test_a_run_of_vllm_on_a_gpu_is_refused_before_anything_is_loaded(
    tiny_run: Runner, monkeypatch: pytest.MonkeyPatch, device: str, runtime: str, refused: bool
) -> None:
    """The device and the runtime are simulated, which this machine may not have; the check is real."""
    monkeypatch.setenv("CC", "/not/there")
    monkeypatch.setattr(choose, "choose_device", lambda wanted: device)
    monkeypatch.setattr(choose, "choose_runtime", lambda wanted, device: (runtime, ""))
    monkeypatch.setattr(plan, "prepare_device", lambda device: None)

    def looked_at(facts: Any, wanted: str, runtime: str, why: str, device: str) -> tuple[str, str]:
        assert runtime != "vllm", "vLLM's models were loaded"
        return runtime, why

    class FurtherOn(Exception): ...

    def folds_for(*arguments: Any, **settings: Any) -> Any:
        raise FurtherOn

    monkeypatch.setattr(choose, "choose_for", looked_at)
    monkeypatch.setattr("engine.preflight.folds.folds_for", folds_for)
    wanted = load("tiny", tiny_run.preset.read_text(), [f"model.runtime={runtime}"])
    with pytest.raises(UserError if refused else FurtherOn, match="Triton needs a C compiler" if refused else None):
        plan.plan_run(wanted, lambda name, progress, detail: None)
