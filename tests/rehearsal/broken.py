"""Cases that are broken on purpose: the rehearsal must say of each what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _a_wait(runtime: Any) -> None:
    """Every update asks the card for a number."""
    _after(runtime, "zo_update", lambda some: some.sum().item())


def _kernels(runtime: Any) -> None:
    """Every perturbation launches a thousand kernels more."""
    _after(runtime, "zo_perturb", lambda some: [some.clone() for _ in range(1000)])


def _fold_kernels(runtime: Any) -> None:
    """Every fold launches a thousand kernels more, and waits for each."""
    _after(runtime, "zo_redraw", lambda some: [some.sum().item() for _ in range(1000)])


def _losses(runtime: Any) -> None:
    """Signs lie further apart than was asked for."""
    call = runtime._call

    def wrong(method: str, *args: Any) -> Any:
        return call(method, *args[:-1], 1.5 * args[-1]) if method == "zo_perturb" else call(method, *args)

    runtime._call = wrong


def _replay(runtime: Any) -> None:
    """A replayed graph does nothing."""
    from tests.rehearsal.simulated.graphs import SimulatedGraph

    SimulatedGraph.replay = lambda self: None  # type: ignore[method-assign]


def _read_early(runtime: Any) -> None:
    """Nobody waits for what comes from the card."""
    from tests.rehearsal.simulated.torch_cuda import SimulatedEvent

    SimulatedEvent.synchronize = lambda self: None  # type: ignore[method-assign]


def _host_tensor(runtime: Any) -> None:
    """A matrix that is multiplied on the card lies on the host."""
    import torch

    _after(runtime, "zo_perturb", lambda some: some @ torch.zeros(some.shape[::-1], dtype=some.dtype))


#: By name: what breaks the runtime, and words of the problem that must be found.
BROKEN: dict[str, tuple[Callable[[Any], None], str]] = {
    "a wait": (_a_wait, "waits a step"),
    "kernels": (_kernels, "kernels a step"),
    "fold": (_fold_kernels, "kernels a fold"),
    "losses": (_losses, "loss"),
    "replay": (_replay, "recorded"),
    "read early": (_read_early, "before anything waited for it"),
    "host tensor": (_host_tensor, "same device"),
}


def break_runtime(runtime: Any, how: str) -> None:
    """Break it so, or leave it whole for an empty name."""
    if how:
        BROKEN[how][0](runtime)


def _after(runtime: Any, method: str, also: Callable[[Any], object]) -> None:
    """Let `also` do something with a weight on the card after every call of a method of the worker."""
    (weight,) = runtime._llm.collective_rpc(lambda worker: worker._zo_slices[0].layer.base_layer.weight.data)
    call = runtime._call

    def called(name: str, *args: Any) -> Any:
        found = call(name, *args)
        if name == method:
            also(weight)
        return found

    runtime._call = called
