"""A launch of a Triton kernel: one kernel, whatever its interpreter does for it."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from tests.rehearsal.simulated.arithmetic import mend
from tests.rehearsal.simulated.counters import counters
from tests.rehearsal.simulated.storages import CARD, tensors


def interpret(knobs: Any) -> None:
    """`triton.knobs`: kernels are interpreted, whatever the environment says, of which the engine drops this."""
    knobs.runtime.interpret = True


def say_there_is_a_driver(driver: Any) -> None:
    """`triton.backends.nvidia.driver`: it tells of torch's card, and launches nothing."""

    def begin(self: Any) -> None:
        self.utils = self.launcher_cls = None
        super(driver.CudaDriver, self).__init__()

    driver.CudaDriver.__init__ = begin
    driver.CudaDriver.is_active = staticmethod(lambda: True)


def take_over(interpreter: Any) -> None:
    """`triton.runtime.interpreter`: every launch comes by here, be it autotuned, with heuristics, or plain."""
    mend(interpreter)
    interpret = interpreter.GridExecutor.__call__

    def launch(self: Any, *args: Any, **kwargs: Any) -> None:
        name = getattr(self.fn, "__name__", "a kernel")
        with torch._C.DisableTorchFunction():
            for argument, value in {**dict(zip(self.arg_names, args, strict=False)), **kwargs}.items():
                if any(tensor not in CARD for tensor in tensors(value)):
                    raise ValueError(
                        f"Pointer argument {argument} of {name} cannot be accessed from Triton (cpu tensor?)"
                    )

        def again() -> None:
            with torch._C.DisableTorchFunction(), _disable_current_modes():
                interpret(self, *args, **kwargs)

        again()
        counters.kernel(f"triton::{name}", again)

    interpreter.GridExecutor.__call__ = launch
