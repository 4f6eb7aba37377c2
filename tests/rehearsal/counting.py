"""Does the simulated card count what is known? `python -P -m tests.rehearsal.counting`, in a process of a CUDA wheel.

The last line of standard output is a JSON list of what it miscounts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.rehearsal import simulated

simulated.install()

import torch  # noqa: E402
import triton  # noqa: E402
import triton.language as tl  # noqa: E402

from tests.rehearsal.simulated.counters import counters  # noqa: E402

CARD = torch.device("cuda", 0)


@triton.jit
def double(x, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(x + at, tl.load(x + at, at < n) * 2, at < n)


@triton.jit
def third(x, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(x + at, (tl.load(x + at, at < n).to(tl.float32) / 3).to(tl.bfloat16), at < n)


def launch(x: torch.Tensor) -> None:
    double[(triton.cdiv(x.numel(), 4),)](x, x.numel(), BLOCK=4)


def main() -> None:
    """The command."""
    card, host = torch.arange(12, device=CARD).float().view(3, 4), torch.ones(3, 4)
    pinned, out = host.pin_memory(), torch.empty(3, 4, pin_memory=True)
    event = torch.cuda.Event()
    # What is done, the kernels (copies among them) and the waits that it takes.
    known: dict[str, tuple[Callable[[], Any], int, int]] = {
        "a view": (lambda: card.view(4, 3).T[1:], 0, 0),
        "room": (lambda: torch.empty(3, device=CARD), 0, 0),
        "a sum": (lambda: card + card, 1, 0),
        "in place": (lambda: card.mul_(1), 1, 0),
        "reshaped, which is a view": (lambda: card.reshape(12), 0, 0),
        "reshaped, which is a copy": (lambda: card.T.reshape(12), 1, 0),
        "to its own precision": (lambda: card.float(), 0, 0),
        "to another precision": (lambda: card.half(), 1, 0),
        "filled": (lambda: torch.zeros(3, device=CARD), 1, 0),
        "work of the host": (lambda: (host + host).sum().item(), 0, 0),
        "a number asked for": (lambda: card[0, 0].item(), 0, 1),
        "a condition": (lambda: bool(card.any()), 1, 1),
        "all numbers asked for": (lambda: card.tolist(), 0, 1),
        "from a list": (lambda: torch.tensor([1.0, 2.0], device=CARD), 1, 1),
        "to the card": (lambda: host.to(CARD), 1, 1),
        "to the card, pinned": (lambda: pinned.to(CARD, non_blocking=True), 1, 0),
        "to the host": (lambda: card.cpu(), 1, 1),
        "to the host, pinned": (lambda: out.copy_(card, non_blocking=True), 1, 0),
        "an event": (event.synchronize, 0, 1),
        "a mask": (lambda: card[card > 3], 2, 1),
        "a Triton kernel": (lambda: launch(card), 1, 0),
    }
    wrong = []
    for name, (do, kernels, waits) in known.items():
        counters.restart()
        do()
        told = counters.told()
        if (told["kernels"], told["waits"]) != (kernels, waits):
            wrong.append(f"{name}: {told['kernels']} kernels and {told['waits']} waits, not {kernels} and {waits}")
    wrong += _refused("a Triton kernel on the host's", ValueError, lambda: launch(host))
    wrong += _refused("two devices", RuntimeError, lambda: card + host)
    wrong += _refused("numpy of the card's", TypeError, lambda: card.numpy())
    out.copy_(card, non_blocking=True)
    wrong += _refused("read before it is there", RuntimeError, lambda: out.tolist())
    wrong += _graphs()
    numbers = torch.randn(64, device=CARD).bfloat16()
    right = (numbers.float() / 3).bfloat16()
    third[(1,)](numbers, 64, BLOCK=64)
    if not torch.equal(numbers, right):
        wrong.append("bfloat16 is not rounded as torch rounds it")
    print(json.dumps(wrong))


def _graphs() -> list[str]:
    """A graph does again what was recorded, on what lies there now."""
    x, graph = torch.ones(4, device=CARD), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = (x + 1).view(2, 2)
        launch(y)
    x.fill_(4)
    counters.restart()
    graph.replay()
    told = counters.told()
    wrong = []
    if (told["kernels"], told["launches"], told["replays"]) != (2, 1, 1):
        wrong.append(f"a replay: {told}")
    if y.tolist() != [[10, 10], [10, 10]]:
        wrong.append(f"a replay gives {y.tolist()}")
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        wrong += _refused("a wait while recording", RuntimeError, lambda: x[0].item())
    return wrong


def _refused(what: str, error: type[Exception], do: Callable[[], Any]) -> list[str]:
    try:
        do()
    except error:
        return []
    return [f"{what}: not refused"]


if __name__ == "__main__":
    main()
