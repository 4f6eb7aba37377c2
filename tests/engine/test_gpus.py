"""Which GPU a run is on, and what is said where torch can use none: through a simulated NVML."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import gpus
from engine.clients.telemetry import Gpus
from engine.errors import UserError
from engine.gpus import mask_gpus
from engine.preflight.choose import choose_device
from engine.preflight.outlook import outlook
from engine.preset.load import load
from tests.engine.simulated_nvml import NVMLError, SimulatedNvml

FIRST, SECOND = SimulatedNvml.UUIDS
VISIBLE = "CUDA_VISIBLE_DEVICES"


@pytest.fixture(autouse=True)
def unmasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "so that it is put back")
    monkeypatch.delenv(VISIBLE)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Simulates a machine's NVML, and a torch that sees no GPU, by the CUDA that it is built for."""

    def simulate(nvml: SimulatedNvml | None = None, built: str | None = "13.0") -> None:
        monkeypatch.setitem(sys.modules, "pynvml", nvml or SimulatedNvml())
        monkeypatch.setattr(torch.version, "cuda", built)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    return simulate


# -- which one -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "visible", "index", "left"),
    [
        ("auto", None, 0, None),
        ("cuda", None, 0, None),
        ("cuda:1", None, 1, "1"),
        ("auto", "1,0", 1, "1,0"),  # vLLM takes the first that it sees
        ("cuda:1", "1,0", 0, "0"),
        ("cuda:0", " 1 , 0 ", 1, "1"),
        ("auto", SECOND, 1, SECOND),
        ("cuda:1", f"{FIRST},{SECOND}", 1, SECOND),
        ("cuda:0", "GPU-5e6f,0", 1, "GPU-5e6f"),
        ("auto", SimulatedNvml.PART, 1, SimulatedNvml.PART),
        ("auto", f"MIG-{SECOND}/1/0", 1, f"MIG-{SECOND}/1/0"),
        ("auto", "GPU-ffff", None, "GPU-ffff"),
        ("auto", "", None, ""),
        ("cpu", None, None, None),
        ("cpu", "1", None, "1"),
    ],
)
def test_the_run_s_gpu_is_the_first_that_is_seen_and_known_to_nvml(
    machine: Any, monkeypatch: pytest.MonkeyPatch, wanted: str, visible: str | None, index: int | None, left: str | None
) -> None:
    machine()
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)
    assert mask_gpus(wanted) == index
    assert os.environ.get(VISIBLE) == left


@pytest.mark.parametrize(
    ("wanted", "visible", "told"),
    [
        ("cuda:2", None, "this machine has 2 GPUs, counted from 0"),
        ("cuda:1", "0", "CUDA_VISIBLE_DEVICES=0 shows 1 GPU, counted from 0"),
        ("cuda:0", "", "CUDA_VISIBLE_DEVICES= shows 0 GPUs"),
        ("cuda:0", "-1,0", "CUDA_VISIBLE_DEVICES=-1,0 shows 0 GPUs"),
    ],
)
def test_what_the_environment_hides_is_not_brought_back(
    machine: Any, monkeypatch: pytest.MonkeyPatch, wanted: str, visible: str | None, told: str
) -> None:
    machine()
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)
    with pytest.raises(UserError, match=rf"^--device: {wanted}: {told}"):
        mask_gpus(wanted, key="--device")
    assert os.environ.get(VISIBLE) == visible


def test_no_gpu_is_said_to_be_the_run_s_own_where_none_is(machine: Any) -> None:
    machine()
    nvml = SimulatedNvml()
    assert [Gpus(nvml, ours)._ours for ours in (None, 1)] == [None, 1]
    found = Gpus.open(None)
    assert found is not None and len(found._handles) == 2
    machine(SimulatedNvml(count=0))
    assert Gpus.open(None) is None


# -- and whether torch can use it ------------------------------------------------------------------------


TOO_OLD = "torch is built for CUDA 13.0, and driver 550.54.14 ends at CUDA 12.4; update NVIDIA's driver to 580 or newer"


@pytest.mark.parametrize(
    ("nvml", "built", "told"),
    [
        (SimulatedNvml(), "13.0", TOO_OLD),
        (SimulatedNvml(), "14.2", "driver 550.54.14 ends at CUDA 12.4; update NVIDIA's driver to the newest"),
        (SimulatedNvml(), None, "is built without CUDA, and this machine has 2 GPUs; make a new environment"),
        (SimulatedNvml(newest=13010), "13.0", "torch, built for CUDA 13.0, cannot start it on driver 550.54.14 ("),
        (SimulatedNvml(fault=NVMLError(18, "Driver/library version mismatch")), "13.0", "restart the machine"),
    ],
)
def test_auto_refuses_what_the_cpu_would_take_days_for(
    machine: Any, nvml: SimulatedNvml, built: str | None, told: str
) -> None:
    machine(nvml, built)
    for wanted in ("auto", "cuda"):
        with pytest.raises(UserError) as refused:
            choose_device(wanted)
        assert str(refused.value).startswith(f"model.device: {wanted}: ")
        assert told in str(refused.value) and str(refused.value).endswith(", or use --set model.device=cpu")
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize(
    "nvml", [SimulatedNvml(count=0), SimulatedNvml(fault=NVMLError(12, "NVML Shared Library Not Found"))]
)
def test_without_a_gpu_auto_is_the_cpu(machine: Any, nvml: SimulatedNvml) -> None:
    machine(nvml)
    assert choose_device("auto") == "cpu"
    with pytest.raises(UserError, match=r"model.device: cuda: torch sees no such GPU here"):
        choose_device("cuda")


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles"])
def test_whose_gpus_are_hidden_has_asked_for_the_cpu(
    machine: Any, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    machine()
    monkeypatch.setenv(VISIBLE, hidden)
    assert choose_device("auto") == "cpu"


def test_a_name_that_no_gpu_has_is_told(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(SimulatedNvml(newest=13010))
    monkeypatch.setenv(VISIBLE, "7")
    with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES=7 shows torch none of this machine's 2 GPUs"):
        choose_device("auto")


def test_an_outlook_says_what_the_run_would(machine: Any, tmp_path: Path) -> None:
    machine()
    demo = load("demo", '[model]\npath = "builtin:demo"\n[task]\nname = "demo"\n')
    with pytest.raises(UserError, match=r"ends at CUDA 12\.4"):
        outlook(tmp_path, demo)


def test_nothing_that_nvml_does_ends_a_run_on_the_cpu(machine: Any) -> None:
    class Odd(SimulatedNvml):
        def nvmlSystemGetDriverVersion(self) -> str:
            raise NVMLError(3, "Not Supported")

    machine(Odd())
    assert gpus.trouble() is None
    machine(SimulatedNvml(fault=NVMLError(999, "Unknown Error")))
    assert gpus.trouble() is None and Gpus.open(0) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch has a GPU here")
@pytest.mark.parametrize("module", ["engine.benchmark", "engine.doctor"])
def test_a_benchmark_and_the_doctor_say_it_too(tmp_path: Path, module: str) -> None:
    """A real process each, with the simulated NVML and the torch that is installed here."""
    (tmp_path / "pynvml.py").write_text("from tests.engine.simulated_nvml import __getattr__")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    environ = {**os.environ, "PYTHONPATH": path, "ZOTUI_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", module], capture_output=True, text=True, env=environ, timeout=240)
    if module == "engine.benchmark":
        assert done.returncode == 2
        line = done.stderr.splitlines()[-1]
        assert "--device: auto: torch" in line and line.endswith(", or use --device cpu")
    else:
        assert done.returncode == 1
        assert '"name":"gpu 1","state":"ok","found":"NVIDIA GeForce RTX 4090, driver 550.54.14, 16.0 of' in done.stdout
        assert '"name":"cuda","state":"wrong","found":"torch' in done.stdout
        assert '"name":"vllm"' not in done.stdout
