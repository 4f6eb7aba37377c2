"""An exported model is the tuned model: transformers loads it and scores as the run ended."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.tasks import objective
from engine.tasks.load import load_task
from tests import starting
from tests.engine.conftest import Finished, Runner, needs_vllm
from tests.engine.preflight.test_unsuitable import family


def export(run: Finished, target: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return starting.run(
        ["-m", "zotui", "export", str(run.folder), "--to", str(target), *(more or ("--format", "merged"))]
    )


def loss_of(run: Finished, model: Path) -> float:
    """That of an exported model, in float32, over the validation split of a run."""
    from transformers import AutoTokenizer

    from engine.preset.load import load_file as load_preset
    from engine.runtimes.training_loop import TrainingLoop

    wanted = load_preset(run.folder / "preset.toml")
    task = load_task(wanted.task, AutoTokenizer.from_pretrained(model), seed=0, max_length=256)
    scores = TrainingLoop(str(model), dtype="float32", device="cpu", seed=0).score(task.validation)
    return objective.metrics("classification", task.validation, scores)["loss"]


@needs_vllm
@pytest.mark.parametrize(
    ("layout", "runtime", "method"),
    [
        ("opt", "vllm", "lozo"),
        ("opt", "training-loop", "lozo"),
        ("mixtral", "vllm", "lozo"),
        ("qwen3-moe", "vllm", "lozo"),
        ("mixtral", "vllm", "mobizo"),
        ("opt", "training-loop", "mezo-lora"),
        ("llama", "vllm", "mezo-lora"),
        ("llama", "vllm", "mezo"),
    ],
)
def test_the_exported_model_scores_as_the_run_ended(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path, layout: str, runtime: str, method: str
) -> None:
    settings = (f"method.name={method}", "method.lr=1e-3", "run.steps=25")
    run = tiny_run(f"model.path={tiny_models[layout]}", f"model.runtime={runtime}", *settings)
    assert run.code == 0, run.stderr
    target = tmp_path / "tuned"
    done = export(run, target)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(target)
    start, end = (run.of("eval")[i]["metrics"]["loss"] for i in (0, -1))
    assert abs(loss_of(run, target) - end) < 1e-5
    assert abs(start - end) > 1e-4  # the run did move
    if layout != "opt":  # transformers stacks experts, and files have them apart
        before, after = (load_file(folder / "model.safetensors") for folder in (tiny_models[layout], target))
        assert before.keys() == after.keys()


@pytest.mark.parametrize("format", ["merged", "adapter"])
def test_an_export_never_overwrites(tiny_run: Runner, tmp_path: Path, format: str) -> None:
    run = tiny_run("run.steps=1")
    target = tmp_path / "full"
    target.mkdir()
    (target / "precious").write_text("text")
    done = export(run, target, "--format", format)
    assert done.returncode == 2
    assert "is not an empty folder" in done.stderr
    assert [p.name for p in target.iterdir()] == ["precious"]


# -- what is carried along, and in which precision ---------------------------------------------------------


CARRIED = {
    # transformers would refuse to save this: a temperature without sampling
    "generation_config.json": '{"do_sample": false, "temperature": 0.6, "top_p": 0.9, "eos_token_id": [1, 2]}',
    "chat_template.jinja": "{% for message in messages %}{{ message.content }}{% endfor %}",
    "special_tokens_map.json": '{"eos_token":  "</s>"}',
    "preprocessor_config.json": '{"made_up": [1, 2]}',
    "LICENSE": "Do as you like.\n",
}


def dressed(model: Path, folder: Path, dtype: torch.dtype | None = None) -> Path:
    """`model` with all that may lie beside it, in another precision."""
    shutil.copytree(model, folder, copy_function=shutil.copyfile)
    for name, text in CARRIED.items():
        (folder / name).write_text(text)
    for name in ("README.md", "trainer_state.json"):
        (folder / name).write_text("{}")
    if dtype is not None:
        weights = {name: tensor.to(dtype) for name, tensor in load_file(model / "model.safetensors").items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((folder / "config.json").read_text())
        config.pop("dtype", None)
        # The last two old models have; transformers would refuse to save them there.
        config |= {"torch_dtype": str(dtype).removeprefix("torch."), "min_length": 7, "num_beams": 4}
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_what_lies_beside_the_weights_is_copied_and_the_precision_is_the_models_own(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    model = dressed(tiny_models["llama"], tmp_path / "base", torch.bfloat16)
    run = tiny_run(f"model.path={model}", "run.steps=2", "method.lr=1e-2")
    before = os.umask(0o027)
    try:
        target = tmp_path / "new" / "tuned"
        done = export(run, target)
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    for name in (*CARRIED, "tokenizer.json", "tokenizer_config.json"):
        assert (target / name).read_bytes() == (model / name).read_bytes(), name
    assert sorted(p.name for p in target.iterdir()) == sorted(
        [*CARRIED, "tokenizer.json", "tokenizer_config.json", "config.json", "model.safetensors", "README.md"]
    )
    assert {path.stat().st_mode & 0o777 for path in target.iterdir()} == {0o640}
    assert json.loads((target / "config.json").read_text()) == json.loads((model / "config.json").read_text())
    base, tuned = (load_file(folder / "model.safetensors") for folder in (model, target))
    assert {name: one.dtype for name, one in tuned.items()} == {name: torch.bfloat16 for name in base}
    assert any(not torch.equal(base[name], tuned[name]) for name in base)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("written in")]
    found = re.fullmatch(
        r"written in bfloat16, the model's own precision; rounding keeps (\d+)% of the update, "
        r"--dtype float32 all of it",
        line,
    )
    assert found, line
    # Whole matrices say the same as the sample.
    whole = tmp_path / "whole"
    assert export(run, whole, "--dtype", "float32").returncode == 0
    exact = load_file(whole / "model.safetensors")
    assert {one.dtype for one in exact.values()} == {torch.float32}
    assert json.loads((whole / "config.json").read_text())["torch_dtype"] == "float32"
    moved = torch.cat([(exact[name] - base[name].float()).flatten() for name in base]).double()
    rounded = torch.cat([(tuned[name].float() - base[name].float()).flatten() for name in base]).double()
    kept = float(moved @ rounded / (moved @ moved))
    assert abs(kept - int(found[1]) / 100) < 0.05
    assert all(torch.equal(exact[name].bfloat16(), tuned[name]) for name in base)


def test_a_tensor_keeps_the_precision_that_it_has_in_the_files(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    model = dressed(tiny_models["llama"], tmp_path / "base", torch.bfloat16)
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"].float()
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    run = tiny_run(f"model.path={model}", "run.steps=1")
    assert export(run, tmp_path / "tuned").returncode == 0
    tuned = load_file(tmp_path / "tuned/model.safetensors")
    assert tuned["model.norm.weight"].dtype == torch.float32
    assert tuned["lm_head.weight"].dtype == torch.bfloat16


def test_a_precision_that_cannot_hold_the_weights_is_refused(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    model = dressed(tiny_models["llama"], tmp_path / "base")
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"] *= 1e6
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    run = tiny_run(f"model.path={model}", "run.steps=1")
    done = export(run, tmp_path / "tuned", "--dtype", "float16")
    assert done.returncode == 2
    assert "model.norm.weight has weights that torch.float16 does not hold" in done.stderr
    assert not list(tmp_path.glob("*tuned*"))
    done = export(run, tmp_path / "tuned", "--dtype", "int8")
    assert done.returncode == 2 and "--dtype int8: not a precision" in done.stderr


@pytest.mark.parametrize("name", ["Qwen3MoeConfig", "Gemma2Config", "GPT2Config", "OPTConfig"])
def test_weights_are_written_under_the_names_that_they_were_read_from(tmp_path: Path, name: str) -> None:
    """Experts in pieces, a head that is tied, a name without its prefix."""
    from transformers import AutoModelForCausalLM

    from engine.export.folder import write_weights

    base, again = tmp_path / "base", tmp_path / "again"
    again.mkdir()
    AutoModelForCausalLM.from_config(family(name)).save_pretrained(base)
    write_weights(AutoModelForCausalLM.from_pretrained(base), again, torch.float32, None)
    there, written = (load_file(folder / "model.safetensors") for folder in (base, again))
    assert {n: (t.dtype, t.shape) for n, t in written.items()} == {n: (t.dtype, t.shape) for n, t in there.items()}
    assert all(torch.equal(there[n], written[n]) for n in there)


def test_a_large_model_is_written_in_shards_with_an_index(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    from engine.export import folder

    monkeypatch.setattr(folder, "_SHARD", "500KB")
    model = AutoModelForCausalLM.from_pretrained(tiny_models["llama"])
    folder.write_weights(model, tmp_path, torch.float32, None)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert [path.name for path in shards] == [f"model-{number:05}-of-00005.safetensors" for number in range(1, 6)]
    assert all(path.stat().st_size < 600_000 for path in shards)
    assert index["weight_map"].keys() == load_file(tiny_models["llama"] / "model.safetensors").keys()
    shutil.copyfile(tiny_models["llama"] / "config.json", tmp_path / "config.json")
    again = AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items())


def test_progress_is_for_a_terminal(tiny_run: Runner, tmp_path: Path) -> None:
    run = tiny_run("run.steps=2")
    quiet = export(run, tmp_path / "quiet")
    assert quiet.returncode == 0 and "rebuilding" not in quiet.stderr and "\r" not in quiet.stderr
    command = [sys.executable, "-m", "zotui", "export", str(run.folder), "--to", str(tmp_path / "watched")]
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        told = b""
        with suppress(OSError):  # the end of a terminal
            while part := os.read(ours, 4096):
                told += part
        assert process.wait() == 0
    os.close(ours)
    assert b"rebuilding: step 2/2\r\n" in told


# -- nothing is left of what failed ------------------------------------------------------------------------


def test_an_export_to_a_full_disk_leaves_nothing(tiny_run: Runner, small_disk: Any) -> None:
    run = tiny_run("run.steps=1")
    disk = small_disk("200k")
    done = export(run, disk / "deep" / "tuned")
    assert done.returncode == 2
    assert "the model takes 1.13 MiB, 180 KiB are free; make room" in done.stderr
    assert not list(disk.iterdir())


def test_an_export_that_cannot_be_written_to_its_end_leaves_nothing(tiny_run: Runner, tmp_path: Path) -> None:
    run = tiny_run("run.steps=1")
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))\n"
        "from engine.export.__main__ import main\n"
        "sys.exit(main())\n"
    )
    above = tmp_path / "above"
    done = subprocess.run(
        [sys.executable, "-c", script, str(run.folder), str(above / "tuned")], capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert "cannot be written" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not above.exists()


def test_a_folder_that_is_a_mount_point_is_written_into(small_disk: Any) -> None:
    from engine.export.folder import written_aside

    disk = small_disk("1m")
    with pytest.raises(KeyError), written_aside(disk) as folder:
        (folder / "a.json").write_text("{}")
        raise KeyError
    assert not list(disk.iterdir())
    with pytest.raises(OSError, match="Directory not empty"), written_aside(disk) as folder:
        (folder / "a.json").write_text("{}")
        (disk / "b.json").write_text("somebody else's")
    assert [path.name for path in disk.iterdir()] == ["b.json"]
    (disk / "b.json").unlink()
    with written_aside(disk) as folder:
        (folder / "a.json").write_text("{}")
        (folder / "within").mkdir()
        (folder / "within" / "c").touch()
    assert sorted(str(path.relative_to(disk)) for path in disk.rglob("*")) == ["a.json", "within", "within/c"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_export_that_is_interrupted_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """While it writes."""
    script = (
        "import pathlib, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # which a job in the background ignores
        "from engine.export import __main__ as export\n"
        "from engine.export.folder import written_aside\n"
        "def written(arguments):\n"
        "    with written_aside(arguments.target) as folder:\n"
        "        (folder / 'begun').write_text('x')\n"
        "        print('writing', flush=True)\n"
        "        sys.stdin.read()\n"
        "export._export = written\n"
        "sys.exit(export.main())\n"
    )
    command = [sys.executable, "-c", script, "run", str(tmp_path / "tuned")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(number)
        assert process.wait(240) == 130
    assert not list(tmp_path.iterdir())
