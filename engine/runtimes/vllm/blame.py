"""Whose fault is it that vLLM's public API failed: ours, who asked, or vLLM's, which lacks or breaks something?

Both run in one process, so that a traceback has every frame between. vLLM checks what it is asked before it runs the
model, and our code reads the answer after it did: what fails on the way there or back was asked wrongly, by code of
ours. What fails while the model runs is vLLM's where code of its own was called last, be it by ours, which stands in
front of every layer that is adapted: a kernel that a card does not have, a layer that does not work with LoRA. Too
little memory is ours wherever it shows: we say how much is needed.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from engine.errors import RunFailed, first_line

_RUNS_THE_MODEL = ("execute_model", "sample_tokens")  # methods of vLLM's workers and model runners
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")  # of CUDA, of torch on a CPU


def no_memory(error: BaseException) -> bool:
    """Whether it is for want of memory, be it the device's or the host's."""
    return isinstance(error, MemoryError) or any(text in str(error).lower() for text in _NO_MEMORY)


def our_fault(error: BaseException) -> str:
    """What we did wrong, as a clause with a remedy; empty where it is vLLM's fault."""
    while error.__cause__ is not None:
        error = error.__cause__
    if no_memory(error):
        return f"it takes more memory than zotui reckoned with ({named(error)}); take a smaller run.batch_size or model"
    frames = [
        (str(frame.f_globals.get("__name__", "")), frame.f_code.co_name)
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    # Frames of torch or Triton, at the end, are of whoever called them.
    callers = [module.partition(".")[0] for module, _ in frames if module.startswith(("engine.", "vllm."))]
    running = any(module.startswith("vllm.v1.worker.") and name in _RUNS_THE_MODEL for module, name in frames)
    if running and callers[-1] == "vllm":
        return ""
    return (
        f"vLLM was asked wrongly ({named(error)}), a fault of zotui's: please report it with the run's log; "
        "--set model.runtime=training-loop does without vLLM"
    )


@contextmanager
def writing_slots() -> Iterator[None]:
    """What fails within it is ours, and leaves neither path anything to score. Raises `RunFailed`."""
    try:
        yield
    except Exception as error:
        raise RunFailed(f"directions could not be written into vLLM's slots: {our_fault(error)}") from error


def named(error: BaseException) -> str:
    """Its kind, and what it says, in one line."""
    kind, said = type(error).__name__, first_line(error)
    return kind if said == kind else f"{kind}: {said}"
