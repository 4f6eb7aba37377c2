"""What a run takes is said before it is loaded, and is about what it takes."""

from __future__ import annotations

import os
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.models.facts import read_model
from engine.preflight.checks import check_disk, check_memory
from engine.preflight.disk import Disk, estimate_disk
from engine.preflight.folds import folds_for
from engine.preflight.memory import Memory, estimate_memory
from engine.preset.load import load
from engine.preset.method import Method
from engine.protocol.events import Log, Phase, Step
from engine.runtimes.base import Needs
from engine.text import in_bytes
from tests.engine.conftest import Runner, needs_vllm
from tests.live_engine import Engine

GiB = 2**30

# -- memory ----------------------------------------------------------------------------------------------


def test_every_part_of_the_memory_is_named_and_counted() -> None:
    parts = {field.name: 2 ** (20 + n) for n, field in enumerate(fields(Memory))}
    text = str(Memory(**parts))
    assert Memory(**parts).total == sum(parts.values())
    assert text.startswith(f"{in_bytes(sum(parts.values()))} in all (weights 1 MiB, ")
    for size in parts.values():
        assert in_bytes(size) in text
    assert "KV space, which vLLM takes at its start" in text
    assert "residuals" not in str(Memory(**{**parts, "residuals": 0}))


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "0.977 KiB"), (1536, "1.5 KiB"), (2**30, "1 GiB"), (26e9, "24.2 GiB")],
)
def test_sizes_are_short(size: float, text: str) -> None:
    assert in_bytes(int(size)) == text


def peak(engine: Engine) -> int:
    """The most resident memory that an engine had, in bytes."""
    status = Path(f"/proc/{engine.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


@pytest.mark.fresh  # a fork's memory is not its own
@pytest.mark.parametrize("runtime", ["training-loop", pytest.param("vllm", marks=needs_vllm)])
def test_the_estimate_is_what_a_real_engine_takes_within_a_factor(
    start: Any, tiny_models: dict[str, Path], runtime: str
) -> None:
    """Of a tiny model nearly all is libraries: they are what is measured here."""
    engine: Engine = start(f"model.runtime={runtime}", "run.steps=30", "method.interval=5")
    engine.until(Step, step=20)
    measured = peak(engine)
    said = [e.text for e in engine.seen if isinstance(e, Log) and e.text.startswith("memory: ")]
    facts = read_model(str(tiny_models["one-layer"]), trust_remote_code=False)
    needs = Needs(batch=2, longest=64, options=2, option_tokens=1)
    estimate = estimate_memory(facts, needs, Method(), dtype="float32", device="cpu", runtime=runtime, fold="nearest")
    assert measured < estimate.total < 2.5 * measured
    assert "are available on cpu: fits" in said[0]
    # It is said before the model is loaded.
    kinds = [
        event.name if isinstance(event, Phase) else event.text.partition(":")[0]
        for event in engine.seen
        if isinstance(event, Phase | Log)
    ]
    assert max(kinds.index("memory"), kinds.index("disk")) < kinds.index("loading model")


def test_without_room_for_plain_copies_a_run_does_without(tiny_models: dict[str, Path]) -> None:
    facts = read_model(str(tiny_models["one-layer"]), trust_remote_code=False)
    needs = Needs(batch=2, longest=64, options=2, option_tokens=1)
    settings: dict[str, Any] = {"dtype": "float32", "device": "cpu", "runtime": "vllm"}
    whole = estimate_memory(facts, needs, Method(), fold="nearest", **settings)
    folds = folds_for("auto", "", **settings)
    assert whole.copies == 4 * sum(m.rows * m.cols for m in facts.matrices)
    for room, copies in ((whole.total, whole.copies), (whole.total - 1, 0), (whole.total - whole.copies, 0)):
        fit = check_memory(facts, needs, Method(), folds=folds, limit_gib=room / GiB, **settings)
        assert fit.memory.copies == copies
        (line,) = fit.lines
        assert ("slower folds" in line) == (not copies)
    with pytest.raises(UserError, match="needs about"):
        limit = (whole.total - whole.copies - 1) / GiB
        check_memory(facts, needs, Method(), folds=folds, limit_gib=limit, **settings)


# -- disk ------------------------------------------------------------------------------------------------


def estimated(model: Path, runtime: str, dtype: str, *settings: str, steps_done: int = 0, saved: int = 0) -> Disk:
    text = f'[model]\npath = "{model}"\n[task]\nname = "sst2"\n'
    wanted = load("p", text, settings)
    facts = read_model(str(model), trust_remote_code=False)
    fold = "nearest" if dtype == "float32" else "residual"
    return estimate_disk(
        facts, wanted, dtype=dtype, device="cpu", runtime=runtime, fold=fold, steps_done=steps_done, saved=saved  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("runtime", "dtype", "queries"),
    [
        ("training-loop", "float32", 1),
        pytest.param("vllm", "float32", 3, marks=needs_vllm),
        pytest.param("vllm", "bfloat16", 1, marks=needs_vllm),
    ],
)
def test_a_checkpoint_and_the_journal_are_as_large_as_estimated(
    tiny_run: Runner, tiny_models: dict[str, Path], runtime: str, dtype: str, queries: int
) -> None:
    settings = (f"model.runtime={runtime}", f"model.dtype={dtype}", f"method.queries={queries}", "run.steps=50")
    settings += ("method.interval=10",)
    done = tiny_run(*settings)
    assert done.code == 0, done.stderr
    expected = estimated(tiny_models["one-layer"], runtime, dtype, *settings[2:])
    (checkpoint,) = done.folder.glob("checkpoints/step-*")
    written = sum(file.stat().st_size for file in checkpoint.iterdir())
    assert expected.checkpoint <= written < expected.checkpoint + 16384  # names and shapes
    journal = (done.folder / "journal.jsonl").stat().st_size
    assert 0.6 * expected.journal < journal <= expected.journal
    assert expected.checkpoints == 1
    (line,) = [event["text"] for event in done.of("log") if event["text"].startswith("disk: ")]
    assert line.startswith(f"disk: {expected}; ") and line.endswith(": fits")


@pytest.mark.parametrize(
    ("settings", "steps_done", "saved", "together"),
    [
        ((), 0, 0, 1),  # the last one
        (("run.checkpoint_every=50",), 0, 0, 3),  # at 50 and 100, which is also the last
        (("run.checkpoint_every=10",), 0, 0, 4),  # two newest, the best, and one that is being written
        (("run.checkpoint_every=10",), 95, 3, 1),
        (("run.checkpoint_every=10",), 95, 9, 1),
    ],
)
def test_as_many_checkpoints_as_lie_there_together_are_counted(
    tiny_models: dict[str, Path], settings: tuple[str, ...], steps_done: int, saved: int, together: int
) -> None:
    found = estimated(
        tiny_models["one-layer"], "vllm", "float32", "run.steps=100", *settings, steps_done=steps_done, saved=saved
    )
    assert found.checkpoints == together
    assert found.total == together * found.checkpoint + found.journal
    whole = estimated(tiny_models["one-layer"], "vllm", "float32", "run.steps=100")
    assert found.journal * 100 == whole.journal * (100 - steps_done)


def test_the_disk_is_enough_or_for_a_while_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(checkpoint=10 * GiB, checkpoints=4, journal=GiB)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))
    said = "41 GiB in all (a checkpoint 10 GiB, up to 4 of them together; the journal 1 GiB)"
    for free, level in ((41 * GiB, "info"), (41 * GiB - 1, "warning"), (11 * GiB, "warning")):
        found, line = check_disk(disk, tmp_path)
        assert found == level
        assert line.startswith(f"disk: {said}") and f"{in_bytes(free)} are free in {tmp_path}" in line
        assert line.endswith("fits") == (level == "info")
    free = 11 * GiB - 1
    with pytest.raises(UserError, match="a checkpoint and the journal take 11 GiB, 11 GiB are free there; make room"):
        check_disk(disk, tmp_path)


def test_a_disk_without_room_for_one_checkpoint_is_refused_and_nothing_is_left(
    tiny_run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import shutil\nusage = shutil.disk_usage\nshutil.disk_usage = lambda path: usage(path)._replace(free=1000)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{hook}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    done = tiny_run(folder=tmp_path / "refused")
    assert done.code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"zotui: {tmp_path / 'refused'}: a checkpoint and the journal take")
    assert "0.977 KiB are free there; make room, or choose another --run-dir" in line
    assert not (tmp_path / "refused").exists()
