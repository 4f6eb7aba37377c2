"""Process groups for a process that is alone, without a network port.

vLLM makes groups even for one worker, and gloo listens on a port for each of them (TORCH_GLOO_LAZY_INIT does not
keep it from that), though nobody is to join. torch's group that communicates with nobody gives the same results
where there is nobody: what is reduced or gathered over one process is what that process has. Up to 0.27 vLLM has the
members meet at a port, too (`tcp://`), and later in a file; one that is alone meets itself in its own memory.

NCCL, vLLM's backend on CUDA, opens a port with a communicator, at the first collective. vLLM has none over one process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from torch import distributed
from torch._C._distributed_c10d import FakeProcessGroup, HashStore

_NAME = "alone"  # of the backend


@contextmanager
def alone() -> Iterator[None]:
    """Within this, who asks torch for a gloo group gets one without a port, and nobody is met at one."""
    if not hasattr(distributed.Backend, _NAME.upper()):
        distributed.Backend.register_backend(_NAME, _make, extended_api=True, devices=["cpu", "cuda"])
    before = {name: getattr(distributed, name) for name in ("init_process_group", "new_group")}
    for name, make in before.items():
        setattr(distributed, name, _without_gloo(make))
    distributed.init_process_group = _without_meeting(distributed.init_process_group)
    try:
        yield
    finally:
        for name, make in before.items():
            setattr(distributed, name, make)


def _without_gloo(make: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(make)
    def made(*args: Any, backend: str | None = None, **named: Any) -> Any:
        return make(*args, backend=_NAME if backend == "gloo" else backend, **named)

    return made


def _without_meeting(make: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(make)
    def made(*args: Any, init_method: str | None = None, store: Any = None, **named: Any) -> Any:
        return make(*args, store=HashStore(), **named)

    return made


def _make(wanted: Any, options: Any) -> FakeProcessGroup:
    if wanted.group_size != 1:
        raise RuntimeError(f"a process group of {wanted.group_size} was asked for where one process is alone")
    return FakeProcessGroup._create_internal(wanted.group_rank, wanted.group_size)
