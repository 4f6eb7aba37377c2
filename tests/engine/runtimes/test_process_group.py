"""A process that is alone makes groups as any release of vLLM asks for them, and listens on no port."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_MAKES_A_GROUP = """
import socket, sys
from contextlib import nullcontext
import psutil, torch
from torch import distributed
from engine.runtimes.vllm.process_group import alone

with socket.create_server(("127.0.0.1", 0)) as free:
    where = sys.argv[2].format(port=free.getsockname()[1])
with alone() if sys.argv[1] == "alone" else nullcontext():
    distributed.init_process_group(backend="gloo", init_method=where, world_size=1, rank=0)
    group = distributed.new_group([0], backend="gloo")
told = torch.ones(2)
distributed.all_reduce(told, group=group)
assert told.tolist() == [1, 1]
listening = [one for one in psutil.Process().net_connections(kind="inet") if one.status == psutil.CONN_LISTEN]
print(len(listening))
"""
_TO_0_27 = "tcp://127.0.0.1:{port}"  # where vLLM has a worker meet the others
_SINCE_0_28 = "file://{folder}/met"


@pytest.mark.parametrize("where", [_TO_0_27, _SINCE_0_28])
def test_a_group_of_one_listens_on_no_port_however_it_is_to_meet(tmp_path: Path, where: str) -> None:
    where = where.replace("{folder}", str(tmp_path))
    assert _listening("alone", where) == 0
    assert _listening("as it is", where) > 0  # it would be seen


def _listening(how: str, where: str) -> int:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _MAKES_A_GROUP, how, where]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=240)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])
