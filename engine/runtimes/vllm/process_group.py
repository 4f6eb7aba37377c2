"""Process groups for a process that is alone, without a network port.

vLLM makes groups even for one worker, and gloo listens on a port for each of them (TORCH_GLOO_LAZY_INIT does not
keep it from that), though nobody is to join. torch's group that communicates with nobody gives the same results
where there is nobody: what is reduced or gathered over one process is what that process has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from torch import distributed
from torch._C._distributed_c10d import FakeProcessGroup

_NAME = "alone"  # of the backend


@contextmanager
def alone() -> Iterator[None]:
    """Within this, who asks torch for a gloo group gets one without a port."""
    if not hasattr(distributed.Backend, _NAME.upper()):
        distributed.Backend.register_backend(_NAME, _make, extended_api=True, devices=["cpu", "cuda"])
    before = {name: getattr(distributed, name) for name in ("init_process_group", "new_group")}
    for name, make in before.items():
        setattr(distributed, name, _without_gloo(make))
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


def _make(wanted: Any, options: Any) -> FakeProcessGroup:
    if wanted.group_size != 1:
        raise RuntimeError(f"a process group of {wanted.group_size} was asked for where one process is alone")
    return FakeProcessGroup._create_internal(wanted.group_rank, wanted.group_size)
