"""`python -m engine --spare`: load the libraries, which is most of a start, before there is a run; then be told which.

What happens from then on must be what happens in an engine that is started on the run: the same environment and
descriptors, nothing chosen early that a run's preset chooses. So nothing here looks at a GPU: to ask CUDA anything
would settle which GPUs it sees.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

import msgspec

from engine.environment import prepare, prepare_device
from engine.errors import EXIT_DONE, EXIT_FAILED
from engine.protocol.codec import encode
from engine.protocol.events import Phase
from engine.protocol.order import Order, decode_order
from engine.runs.directory import RunDir

_log = logging.getLogger("engine")

_LIBRARIES = (
    "transformers.models.auto.modeling_auto",
    "datasets",
    "engine.preflight.open",
    "engine.preflight.checks",
    "engine.runtimes.training_loop",
    "engine.training.trainer",
)

_OF_VLLM = ("engine.runtimes.vllm.runtime", "engine.runtimes.vllm.worker.worker")


def stand_by() -> Order:
    """Load the libraries until there is an order. Where nobody will give one any more, the process ends.

    On return descriptors 0, 1 and 2 are those of an engine that was started on the run.
    """
    given = dict(os.environ)
    events, early = os.dup(1), os.memfd_create("engine.log")
    for descriptor in (1, 2):  # what the libraries print while there is no run, and no log
        os.dup2(early, descriptor)
    waiting = _Waiting(events)
    prepare()
    whole = _load("torch") and all(_load(name) for name in _libraries() if not waiting.over.is_set())
    _log.info("a spare engine, ready for a run")
    waiting.over.wait()
    order = waiting.order
    _take_over_log(RunDir(Path(order.run)), early)
    os.dup2(events, 1)
    os.close(events)
    os.close(early)
    if not whole:  # to load it again might fail otherwise, or half succeed: the run meets it in a process of its own
        resume = ["--resume"] if order.resume else []
        os.execve(sys.executable, [*sys.orig_argv[: sys.orig_argv.index("--spare")], *resume, order.run], given)
    return order


class _Waiting:
    """Reads standard input up to the end of the order, on a thread: nobody waits for a library to be loaded."""

    def __init__(self, events: int) -> None:
        self.over = threading.Event()
        self._events = events
        threading.Thread(target=self._wait, name="order", daemon=True).start()

    def _wait(self) -> None:
        line = bytearray()
        while not line.endswith(b"\n"):
            byte = os.read(0, 1)  # what follows the line is for the run
            if not byte:
                os._exit(EXIT_DONE)
            line += byte
        try:
            self.order = decode_order(bytes(line))
        except msgspec.DecodeError:
            os._exit(EXIT_FAILED)
        with suppress(OSError):  # nobody reads; the run goes on, as ever
            os.write(self._events, encode(Phase(name="preparing", detail="loading libraries")))
        self.over.set()


def _libraries() -> tuple[str, ...]:
    """What to load beside torch, in the order in which a run does.

    vLLM is loaded after what a device needs is set, and asks CUDA for its GPUs as it is. So it is left to the run,
    but where torch is built for the CPU alone: then it will be the CPU, whatever the run.
    """
    import torch

    if torch.backends.cuda.is_built() or torch.version.hip or torch.version.xpu:
        return _LIBRARIES
    prepare_device("cpu")
    return _LIBRARIES + (_OF_VLLM if importlib.util.find_spec("vllm") else ())


def _load(name: str) -> bool:
    try:
        importlib.import_module(name)
    except Exception:  # noqa: BLE001 - whatever is wrong with a library, it is the run that says so, if it needs it
        _log.info("%s does not load", name)
        return False
    return True


def _take_over_log(run: RunDir, early: int) -> None:
    """From now on the log is the run's; what was printed before goes there first."""
    sys.stderr.flush()
    with suppress(OSError), run.log_file.open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 2)
        log.write(os.pread(early, os.fstat(early).st_size, 0))
