"""A run goes on, and is exported, only on what it was started on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.errors import UserError
from engine.preflight import identity
from engine.preflight.identity import check_still_there, model_of
from engine.preflight.open import Opened, open_run
from engine.preset.load import load
from engine.protocol.commands import Evaluate
from engine.protocol.events import Error, Eval, Log, Step
from engine.runs.directory import RunDir
from engine.runs.info import FileMark
from engine.runs.journal import encode_line
from engine.tasks.demo import VERSION
from engine.tasks.example import Example
from engine.tasks.load import Task
from engine.tasks.tokenize import RULES
from tests.engine.conftest import Runner
from tests.live_engine import Engine

# -- what is recorded ------------------------------------------------------------------------------------


def test_the_files_that_decide_a_models_numbers_are_recorded(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_models["one-layer"], model)
    for name in ("README.md", "training_args.bin", "own.py", "pytorch_model.bin"):
        (model / name).write_text("x")
    files = identity.of_model(model, code=False)
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= set(files)
    # A pickle beside safetensors is not read, and so no part of the model.
    assert not {"README.md", "training_args.bin", "own.py", "pytorch_model.bin"} & set(files)
    content = (model / "model.safetensors").read_bytes()
    assert files["model.safetensors"] == FileMark(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    assert set(identity.of_model(model, code=True)) == {*files, "own.py"}
    (model / "model.safetensors").unlink()
    assert "pytorch_model.bin" in identity.of_model(model, code=False)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """The folder of a model whose weights are 26 GB, nearly all of them a hole in the file."""
    header = json.dumps({"w": {"dtype": "BF16", "shape": [13, 10**9], "data_offsets": [0, 26 * 10**9]}}).encode()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 26 * 10**9)
    return tmp_path


def bytes_read() -> int:
    """What this process has read by now."""
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["rchar"])


def test_26_gb_of_weights_cost_26_mb_of_reading(large: Path) -> None:
    before = bytes_read()
    (found,) = identity.of_model(large, code=False).values()
    assert found.size > 26 * 10**9
    assert bytes_read() - before < 27e6


def test_a_sampled_hash_sees_what_it_says_and_no_more(large: Path) -> None:
    path = large / "model.safetensors"

    def sampled() -> FileMark:
        return identity.of_model(large, code=False)["model.safetensors"]

    def write(at: int, content: bytes) -> bytes:
        with path.open("rb+") as file:
            file.seek(at)
            before = file.read(len(content))
            file.seek(at)
            file.write(content)
        return before

    original = sampled()
    assert sampled() == original
    size = path.stat().st_size
    somewhere = 9 * 10**9
    for at, content in (
        (12, b"y"),  # the header
        (size - 1, b"x"),  # the end
        (somewhere, b"x" * 2**24),  # a tensor of 16 MiB, wherever it lies
    ):
        before = write(at, content)
        assert sampled() != original
        write(at, before)
        assert sampled() == original
    write(somewhere // 2**24 * 2**24 + 2**20, b"x")  # between two blocks: as its docstring admits
    assert sampled() == original
    os.truncate(path, size - 4096)
    assert sampled() != original


def test_data_is_what_is_trained_on() -> None:
    example = Example((1, 2), ((3,), (4, 5)), 0)
    task = Task("classification", [example, example], [example], [])

    def train(task: Task) -> Any:
        return identity.of_data(task)["train"]

    assert train(task) == train(replace(task, validation=[]))
    assert train(task).examples == 2
    for other in (
        Example((1, 2, 3), ((3,), (4, 5)), 0),
        Example((1, 2), ((3, 4), (5,)), 0),
        Example((1,), ((2, 3), (4, 5)), 0),
        Example((1, 2), ((3,), (4, 5)), 1),
    ):
        assert train(replace(task, train=[example, other])) != train(task)
        assert train(replace(task, train=[other, example])) != train(replace(task, train=[example, other]))
    assert train(replace(task, objective="lm")) != train(task)


# -- what is compared ------------------------------------------------------------------------------------


@dataclass
class Begun:
    """A run on a copy of a model and of the data of its own, begun and left, without a step of its own."""

    run: RunDir
    model: Path
    data: Path
    said: list[tuple[str, str]] = field(default_factory=list)

    def open(self) -> Opened:
        """Open it as a resume does."""
        return open_run(
            self.run.preset(), lambda *_: None, lambda level, text: self.said.append((level, text)), self.run
        )

    def refusal(self) -> str:
        with pytest.raises(UserError) as caught:
            self.open()
        return str(caught.value)

    def begin(self) -> None:
        """Record what an engine records at its start, and a step."""
        self.run.info.update(started_on=self.open().started_on)
        self.run.journal_file.write_text('{"step": 0}\n')


@pytest.fixture
def begun(tiny_run: Runner, tiny_models: dict[str, Path], reviews: Path, tmp_path: Path, home: Path) -> Begun:
    model, data = tmp_path / "model", tmp_path / "own.jsonl"
    shutil.copytree(tiny_models["one-layer"], model)
    shutil.copy(reviews, data)
    wanted = load("tiny", tiny_run.preset.read_text(), (f"model.path={model}", f"task.train={data}"))
    begun = Begun(RunDir.create(wanted, "tiny", tmp_path / "run"), model, data)
    begun.begin()
    return begun


def warnings(said: Sequence[tuple[str, str]]) -> list[str]:
    return [text for level, text in said if level == "warning"]


def test_a_model_that_has_changed_is_named_file_by_file(begun: Begun) -> None:
    model = begun.model
    weights, config = model / "model.safetensors", model / "config.json"
    original, said = weights.read_bytes(), f"model.path: {model}: is not the model that this run was started on: "
    remedy = "; put the original back, or start a new run"

    tensors = load_file(weights)
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name] + 1e-3}, weights, metadata={"format": "pt"})
    assert weights.stat().st_size == len(original)
    assert begun.refusal() == f"{said}model.safetensors has changed (in content){remedy}"

    weights.write_bytes(original + b" ")
    size = len(original)
    assert begun.refusal() == f"{said}model.safetensors has changed ({size:,} bytes, now {size + 1:,}){remedy}"

    weights.rename(model / "other.safetensors")
    text = config.read_text()
    config.write_text(text + " ")
    assert begun.refusal().startswith(f"{said}config.json has changed")
    assert "model.safetensors is missing, other.safetensors is new" in begun.refusal()

    (model / "other.safetensors").unlink()
    weights.write_bytes(original)
    config.write_text(text)
    begun.open()
    assert not warnings(begun.said)


def test_data_that_has_changed_is_named_with_its_number_of_examples(begun: Begun) -> None:
    run, data = begun.run, begun.data
    lines = data.read_text().splitlines()
    data.write_text("\n".join(lines[:40]) + "\n")
    assert begun.refusal() == (
        "task.train: gives 40 examples, this run was started on 48; its data, template or tokenizer have changed: "
        "put the original back, or start a new run"
    )
    others = "task.train: gives 48 examples as when this run was started, but not the same ones"
    data.write_text("\n".join([lines[1], lines[0], *lines[2:]]) + "\n")
    assert begun.refusal().startswith(others)
    data.write_text("\n".join(lines) + "\n")
    text = run.preset_file.read_text()
    run.preset_file.write_text(text.replace("[task]\n", '[task]\ntemplate = "{sentence} This is"\n'))
    assert begun.refusal().startswith(others)
    run.preset_file.write_text(text)
    begun.open()
    assert not warnings(begun.said)


def test_what_was_moved_is_asked_for_and_compared_where_it_is_now(begun: Begun, tmp_path: Path) -> None:
    preset_file, model, data = begun.run.preset_file, begun.model, begun.data
    elsewhere = tmp_path / "elsewhere"
    model.rename(elsewhere)
    assert begun.refusal() == (
        f"model.path: {model}: is not there any more; put it back, or write its new place into {preset_file}"
    )
    preset_file.write_text(preset_file.read_text().replace(str(model), str(elsewhere)))
    data.rename(tmp_path / "moved.jsonl")
    assert begun.refusal().startswith(f"task.train: {data}: is not there any more")
    preset_file.write_text(preset_file.read_text().replace(str(data), str(tmp_path / "moved.jsonl")))
    begun.open()
    assert not warnings(begun.said)
    (elsewhere / "config.json").write_text("{}")
    assert "config.json has changed" in begun.refusal()


def test_the_built_in_demo_is_compared_too(begun: Begun, tmp_path: Path, home: Path) -> None:
    demo = home / "cache" / f"demo-{VERSION}"  # as if it had been built
    shutil.copytree(begun.model, demo / "model")
    for split in ("train", "validation"):
        shutil.copy(begun.data, demo / f"{split}.jsonl")
    text = '[model]\npath = "builtin:demo"\nruntime = "training-loop"\n[task]\nname = "demo"\n'
    other = Begun(RunDir.create(load("demo", text), "demo", tmp_path / "of-demo"), demo / "model", demo)
    other.begin()
    other.open()
    (demo / "model/tokenizer_config.json").write_text("{}")
    assert "tokenizer_config.json has changed" in other.refusal()


def test_an_export_onto_another_model_is_refused(begun: Begun) -> None:
    begun.data.unlink()  # which an export does not need
    assert model_of(begun.run, lambda *_: None) == str(begun.model)
    tensors = load_file(begun.model / "model.safetensors")
    save_file({name: torch.zeros_like(one) for name, one in tensors.items()}, begun.model / "model.safetensors")
    with pytest.raises(UserError, match=r"this run was started on: model\.safetensors has changed"):
        model_of(begun.run, lambda *_: None)
    shutil.rmtree(begun.model)
    with pytest.raises(UserError, match=f"model.path: {begun.model}: is not there any more"):
        model_of(begun.run, lambda *_: None)


def test_many_changes_are_counted() -> None:
    was = {f"{n}.safetensors": FileMark(size=1, sha256="a") for n in range(5)}
    now = {name: FileMark(size=1, sha256="b") for name in was}
    with pytest.raises(UserError, match=r"2\.safetensors has changed \(in content\) and 2 more;"):
        identity.check_model(Path("m"), now, was)


# -- over real pipes -------------------------------------------------------------------------------------


def files(run: RunDir) -> dict[Path, bytes]:
    own = (run.log_file, run.path / "lock")  # which every engine writes
    return {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file() and path not in own}


def test_a_run_that_began_by_the_first_rules_goes_on_by_them(begun: Begun) -> None:
    """Its tokens are those that it was trained on: a special token's text in the data is the token, say."""
    lines = [json.loads(line) for line in begun.data.read_text().splitlines()]
    lines[0]["sentence"] += " </s> so it was"
    begun.data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    begun.run.info.update(started_on=None)
    begun.run.journal_file.write_bytes(encode_line(Step(step=0, lr=1e-4, eps=1e-3, projected_grad=1.0)))
    begun.run.info.update(started_on=begun.open().started_on)
    opened = begun.open()
    assert opened.started_on.rules == 1 and not opened.encoder.by_later_rules
    assert opened.task.train[0].prompt.count(1) == 2  # BOS is </s>, too

    record = json.loads(begun.run.info.file.read_bytes())
    del record["started_on"]["rules"]  # as an earlier version left it
    begun.run.info.file.write_text(json.dumps(record))
    assert begun.open().started_on.rules == 1

    begun.run.journal_file.unlink()
    begun.run.info.update(started_on=None)
    opened = begun.open()
    assert opened.started_on.rules == RULES and opened.task.train[0].prompt.count(1) == 1


def test_a_refused_resume_leaves_the_run_as_it_is_and_one_without_a_record_goes_on(
    start: Any, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_models["one-layer"], model)
    engine: Engine = start(f"model.path={model}", "run.steps=2")
    engine.hold()
    engine.send(Evaluate())
    engine.until(Eval)
    assert engine.advance(0.5) == 1
    engine.process.kill()
    engine.process.wait()
    run, before = engine.run, files(engine.run)
    (model / "config.json").write_text((model / "config.json").read_text() + " ")
    again = Engine(run, resume=True)
    assert again.finish() == 2
    (error,) = [event for event in again.seen if isinstance(event, Error)]
    assert error.kind == "usage" and "config.json has changed" in error.text
    assert files(run) == before

    info = json.loads(run.info.file.read_bytes())
    del info["started_on"]
    (run.path / "run.json").write_text(json.dumps(info))
    again = Engine(run, resume=True)
    assert again.finish() == 0
    said = [(event.level, event.text) for event in again.seen if isinstance(event, Log)]
    assert ["no record of the model and the data" in text for text in warnings(said)] == [True]
    assert "config.json" in run.info.read().started_on.model  # from then on


def test_a_pattern_for_files_leads_somewhere_while_one_of_them_is_there(begun: Begun, tmp_path: Path) -> None:
    pattern = str(tmp_path / "part-*.parquet")
    (tmp_path / "part-0.parquet").touch()
    check_still_there(begun.run, {"task.train": pattern})
    (tmp_path / "part-0.parquet").unlink()
    with pytest.raises(UserError, match=r"part-\*\.parquet: is not there any more"):
        check_still_there(begun.run, {"task.train": pattern})
