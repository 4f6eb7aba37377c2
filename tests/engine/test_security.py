"""Models, presets and environments from elsewhere run no code, open no port and reach no other file."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from engine.directions.fold import FoldMode
from engine.environment import prepare, prepare_device
from engine.errors import UserError
from engine.models.facts import read_model
from engine.models.weights import read_pickles
from engine.preflight.choose import choose_for
from engine.preset.load import load
from engine.protocol.commands import Evaluate, Resume
from engine.protocol.events import Eval
from engine.runs.directory import RunDir
from engine.runs.home import runs_home
from engine.runtimes.base import Needs
from tests.engine.conftest import Runner, needs_vllm
from tests.live_engine import Engine

RUNTIMES = ["training-loop", pytest.param("vllm", marks=needs_vllm)]


def refused(run: Runner, *settings: str) -> str:
    """The one line on standard error of a run that must be refused, and leave nothing behind."""
    done = run(*settings, folder=run.home / "refused")
    assert done.code == 2, done.stderr
    assert not done.folder.exists()
    (line,) = done.stderr.splitlines()
    return line


# -- pickles ---------------------------------------------------------------------------------------------


class Evil:
    """A pickle of it makes a folder when it is read as Python's own `pickle` reads."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def pickled(tmp_path: Path, tiny_models: dict[str, Path]) -> Any:
    """Makes a copy of the small model whose weights are a pickle of these tensors, and `extra`."""

    def pickled(extra: dict[str, Any], *, plain: bool = False) -> Path:
        folder = tmp_path / "pickled"
        shutil.copytree(tiny_models["one-layer"], folder)
        weights = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        with (folder / "pytorch_model.bin").open("wb") as file:
            (pickle.dump if plain else torch.save)({**weights, **extra}, file)
        return folder

    return pickled


@pytest.mark.parametrize(
    "runtime", [pytest.param("training-loop", marks=pytest.mark.fresh), pytest.param("vllm", marks=needs_vllm)]
)
def test_weights_that_are_a_pickle_with_code_in_it_are_refused(
    tiny_run: Runner, pickled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    marker = tmp_path / "marker"
    model = pickled({"evil": Evil(marker)})
    line = refused(tiny_run, f"model.path={model}", f"model.runtime={runtime}")
    assert f"model.path: {model}: pytorch_model.bin is a pickle that would run code (posix.mkdir)" in line
    assert not marker.exists()
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
    torch.load(model / "pytorch_model.bin", weights_only=False)
    assert marker.exists()  # read carelessly, it does what it is feared for


def test_a_bare_pickle_is_refused_too(pickled: Any, tmp_path: Path) -> None:
    model = pickled({"evil": Evil(tmp_path / "marker")}, plain=True)
    with pytest.raises(UserError, match=r"pytorch_model.bin is a pickle that"):
        read_pickles(model)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_pickle_of_weights_alone_is_taken(tiny_run: Runner, pickled: Any, runtime: str) -> None:
    done = tiny_run(f"model.path={pickled({})}", f"model.runtime={runtime}", "run.steps=1")
    assert done.code == 0, done.stderr


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_runtimes_themselves_run_no_pickle(
    pickled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    """Should the check before them miss something; and whatever the user's environment says."""
    marker = tmp_path / "marker"
    model = pickled({"evil": Evil(marker)})
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    monkeypatch.setattr("engine.environment._prepared", None)
    prepare()
    common: dict[str, Any] = {"dtype": "float32", "device": "cpu", "seed": 0}
    with pytest.raises(Exception, match=r"posix\.mkdir"):
        if runtime == "vllm":
            prepare_device("cpu")
            from engine.runtimes.vllm.runtime import VllmRuntime

            fold: FoldMode = "nearest"
            needs = Needs(batch=1, longest=8, options=2, option_tokens=1)
            facts = read_model(str(model), trust_remote_code=False)
            choose_for(facts, "vllm", "vllm", "", "cpu")
            VllmRuntime(facts, needs=needs, memory_needed=2**30, fold=fold, **common)
        else:
            from engine.runtimes.training_loop import TrainingLoop

            TrainingLoop(str(model), **common)
    assert not marker.exists()


# -- code that comes with a model ------------------------------------------------------------------------


def with_code(model: Path, target: Path, file: str, **changes: Any) -> Path:
    """A copy of a model with a Python file that makes a folder when it is imported; `changes` are to `file`."""
    shutil.copytree(model, target)
    (target / "evil.py").write_text(
        f"import os\nos.mkdir({str(target / 'marker')!r})\n"
        "from transformers import OPTConfig, OPTForCausalLM, PreTrainedTokenizerFast\n"
        "class EvilConfig(OPTConfig):\n    model_type = 'evil'\n"
        "class EvilModel(OPTForCausalLM):\n    config_class = EvilConfig\n"
        "class EvilTokenizer(PreTrainedTokenizerFast):\n    pass\n"
    )
    known = json.loads((target / file).read_text())
    (target / file).write_text(json.dumps({**known, **changes}))
    return target


OWN_MODEL = {"AutoConfig": "evil.EvilConfig", "AutoModelForCausalLM": "evil.EvilModel"}
OWN_TOKENIZER = {"AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"]}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_model_with_code_of_its_own_is_refused_and_the_key_named(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path, runtime: str
) -> None:
    settings = {"model_type": "evil", "architectures": ["EvilModel"], "auto_map": OWN_MODEL}
    model = with_code(tiny_models["one-layer"], tmp_path / "own", "config.json", **settings)
    line = refused(tiny_run, f"model.path={model}", f"model.runtime={runtime}")
    assert "brings Python code of its own, which is not run" in line
    assert "--set model.trust_remote_code=true" in line
    assert not (model / "marker").exists()


def test_a_tokenizer_with_code_of_its_own_is_refused_and_the_key_named(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    settings = {"tokenizer_class": "EvilTokenizer", "auto_map": OWN_TOKENIZER}
    model = with_code(tiny_models["one-layer"], tmp_path / "own", "tokenizer_config.json", **settings)
    line = refused(tiny_run, f"model.path={model}")
    assert "--set model.trust_remote_code=true" in line
    assert not (model / "marker").exists()
    done = tiny_run(f"model.path={model}", "model.trust_remote_code=true", "run.steps=1")
    assert (model / "marker").exists()  # that it is what it is feared to be
    assert any("model.trust_remote_code" in log["text"] for log in done.of("log") if log["level"] == "warning")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_known_architecture_is_run_by_the_code_that_is_known(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path, runtime: str
) -> None:
    model = with_code(tiny_models["one-layer"], tmp_path / "own", "config.json", auto_map=OWN_MODEL)
    done = tiny_run(f"model.path={model}", f"model.runtime={runtime}", "run.steps=1")
    assert done.code == 0, done.stderr
    assert not (model / "marker").exists()


def test_attention_code_from_the_hub_is_refused(tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    name = "somebody/attention"
    model = with_code(tiny_models["one-layer"], tmp_path / "own", "config.json", attn_implementation=name)
    assert f"asks for code from the hub (attn_implementation: {name})" in refused(tiny_run, f"model.path={model}")


# -- the environment, and the network --------------------------------------------------------------------


def ports(pid: int) -> list[Any]:
    """What a process and its children listen on, UDP included."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    found = [one for process in processes for one in process.net_connections(kind="inet")]
    return [one for one in found if one.status == psutil.CONN_LISTEN or one.type == socket.SOCK_DGRAM]


def test_ports_would_be_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)), socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        assert len(ports(os.getpid())) == 2


HOSTILE = {
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
    "VLLM_NO_USAGE_STATS": "0",
    "VLLM_DP_SIZE": "2",
    "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
}


@needs_vllm
def test_a_run_listens_on_no_port_whatever_the_environment_says(
    start: Any, tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redirect = tmp_path / "redirect.json"
    redirect.write_text(json.dumps({str(tiny_models["one-layer"]): str(tiny_models["llama"])}))
    settings = ("model.runtime=vllm", "run.steps=6", "run.eval_every=2")
    undisturbed: Engine = start(*settings)
    assert undisturbed.finish() == 0
    for name, value in {**HOSTILE, "VLLM_MODEL_REDIRECT_PATH": str(redirect)}.items():
        monkeypatch.setenv(name, value)
    engine: Engine = start(*settings)
    engine.hold()
    assert ports(engine.process.pid) == []
    assert engine.advance(1.5) > 0
    assert ports(engine.process.pid) == []
    engine.send(Evaluate())
    while engine.until(Eval).step == 0:
        pass
    assert ports(engine.process.pid) == []
    engine.send(Resume())
    assert engine.finish() == 0
    assert [s.loss_plus for s in engine.run.journal()] == [s.loss_plus for s in undisturbed.run.journal()]


@needs_vllm
def test_vllm_pickles_no_functions_whatever_the_environment_says() -> None:
    code = (
        "from engine import environment\n"
        "environment.prepare()\n"
        "from vllm import envs\n"
        "from vllm.v1.serial_utils import MsgpackEncoder\n"
        "assert not envs.VLLM_ALLOW_INSECURE_SERIALIZATION\n"
        "try: MsgpackEncoder().encode(lambda: 1)\n"
        "except TypeError: print('refused')\n"
    )
    environ = {**os.environ, **HOSTILE, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, timeout=240)
    assert done.stdout.splitlines()[-1:] == ["refused"], done.stderr


# -- presets and names -----------------------------------------------------------------------------------

PRESET = '[model]\npath = "m"\n[task]\nname = "sst2"\n'


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("{sentence[0]}", "task.template: no column 'sentence[0]' in"),
        ("{sentence.__class__}", "column 'sentence.__class__' is not in 'sentence' (it holds no objects)"),
        (
            "{sentence.__init__.__globals__}",
            "'sentence.__init__.__globals__' is not in 'sentence' (it holds no objects)",
        ),
    ],
)
def test_a_template_reaches_columns_and_no_attributes(tiny_run: Runner, field: str, said: str) -> None:
    assert said in refused(tiny_run, f"task.template={field} It was")


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("{sentence!r}", "a field is a column's name in braces"),
        ("{sentence:>10}", "'>10' is no function of a text"),
        ("{}", "a field is a column's name in braces"),
    ],
)
def test_a_template_formats_nothing(tiny_run: Runner, field: str, said: str) -> None:
    assert said in refused(tiny_run, f"task.template={field} It was")


@pytest.mark.parametrize(
    "setting",
    ['description = "\\u001b]0;owned\\u0007"', 'description = "\\u009b31m"', 'description = "a\\u202eb"'],
)
def test_a_preset_with_what_a_terminal_would_obey_is_not_valid(setting: str) -> None:
    with pytest.raises(UserError, match=r"^p: description: holds a control character; write plain text"):
        load("p", f"{setting}\n{PRESET}")


def test_control_characters_in_any_text_of_a_preset_are_found() -> None:
    for text in (
        PRESET.replace('"m"', '"m\\u001b[2J"'),
        PRESET + 'template = "{sentence}\\u001b[2J"\n',
        PRESET + 'verbalizer = { "0" = "a\\u001b", "1" = "b" }\n',
        PRESET + 'verbalizer = { "0\\u001b" = "a", "1" = "b" }\n',
    ):
        with pytest.raises(UserError, match="holds a control character"):
            load("p", text)
    assert load("p", PRESET + 'template = "{sentence}\\n\\tIt was"\n').task.template == "{sentence}\n\tIt was"


@pytest.mark.parametrize("name", ["../../evil", "..", "/", "a/../../b.toml", "-rf", "\x1b[2J", "x" * 300, ""])
def test_the_folder_of_a_run_is_one_of_the_runs(home: Path, name: str) -> None:
    run = RunDir.create(load("p", PRESET), name)
    assert run.path.parent == runs_home()
    assert run.path.resolve() == run.path
    assert all(c.isascii() and (c.isalnum() or c in "._-") for c in run.name) and not run.name.startswith(("-", "."))


def test_a_name_of_a_run_leads_to_no_other_folder(home: Path, tmp_path: Path) -> None:
    (runs_home() / "r").mkdir(parents=True)
    (home / "run.json").write_text("{}")
    (runs_home() / "r" / "run.json").write_text("{}")
    assert RunDir.find("r").path == runs_home() / "r"
    for name in ("..", "../..", "r/../..", ".", ""):
        with pytest.raises(UserError, match="no such run"):
            RunDir.find(name)
