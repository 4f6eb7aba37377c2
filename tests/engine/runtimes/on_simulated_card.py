"""Devices, precisions, kernels and waits of a step on CUDA, without a card and without vLLM's model.

The worker's own code runs on tensors that are said to be on `cuda` (`tests/rehearsal/simulated/memory.py`): an operator
that is given tensors of two devices, or of two precisions where it takes one, raises as it would on a card. Triton's
kernels are interpreted, which has to be chosen before it is imported: `test_devices.py` runs these in another process.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine.directions.space import Space
from engine.estimators.probing import Probing
from engine.models.weights import Matrix
from engine.runtimes.vllm.packing import pack
from engine.runtimes.vllm.padding import pad
from engine.tasks.example import Example
from engine.updates.base import Rule
from tests.engine.conftest import needs_vllm
from tests.rehearsal.simulated.counters import counters
from tests.rehearsal.simulated.memory import on_simulated_card
from tests.rehearsal.simulated.torch_cuda import SimulatedGenerator

if importlib.util.find_spec("vllm") is not None:
    os.environ["TRITON_INTERPRET"] = "1"  # here, since the engine drops what it finds in the environment
    import triton.runtime.interpreter

    from engine.runtimes.vllm.worker import factors, forward, head, layers, slots
    from tests.rehearsal.simulated.triton_launches import take_over

    take_over(triton.runtime.interpreter)

pytestmark = needs_vllm
CUDA = torch.device("cuda:0")
WIDTH, SIGNS, VOCABULARY = 32, 2, 100
#: The linear layers of a block: rows and columns of each matrix, and how many are packed in one.
BLOCK = {
    "qkv_proj": (WIDTH, WIDTH, 3),
    "out_proj": (WIDTH, WIDTH, 1),
    "fc1": (4 * WIDTH, WIDTH, 1),
    "fc2": (WIDTH, 4 * WIDTH, 1),
}


class FakeLinear(torch.nn.Module):
    """A linear layer of vLLM's, as far as ours asks it."""

    def __init__(self, rows: int, cols: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(rows, cols, device=CUDA).to(dtype), requires_grad=False)
        self.quant_method = SimpleNamespace(
            apply=lambda layer, x, bias: torch.nn.functional.linear(x, layer.weight, bias)
        )


def fake_lora(rows: int, cols: int, packed: int, dtype: torch.dtype) -> Any:
    """vLLM's LoRA wrapper around such a layer, with its slots."""

    def stacked(*shape: int) -> list[torch.Tensor]:
        return [torch.zeros(2, 1, *shape, dtype=dtype, device=CUDA) for _ in range(packed)]

    return SimpleNamespace(
        base_layer=FakeLinear(packed * rows, cols, dtype),
        n_slices=packed,
        lora_a_stacked=stacked(8, cols),
        lora_b_stacked=stacked(rows, 8),
        apply=None,
    )


class FakeWorker:
    """The parts of the worker over two fake blocks. All that is to follow a change of their constructors is here."""

    def __init__(self, dtype: torch.dtype, space: Space = Space(rank=2)) -> None:
        modules = {
            f"model.layers.{block}.{name}": fake_lora(*shape, dtype)
            for block in range(2)
            for name, shape in BLOCK.items()
        }
        self.slices = [
            factors.Slice(Matrix(f"{name}.{index}.weight", *_shape(layer)), layer, index, index * _shape(layer)[0])
            for name, layer in modules.items()
            for index in range(layer.n_slices)
        ]
        self.slots = slots.Slots(
            self.slices,
            space=space,
            rule=Rule(),
            probing=Probing(),
            seed=0,
            signs=SIGNS,
            dtype=dtype,
            device=CUDA,
            fold=_fold(dtype),
            drawn="philox",
        )
        self.layers = layers.Layers(SimpleNamespace(modules=modules), self.slots)
        self.modules = modules

    def redraw(self, step: int) -> None:
        """As `ZoWorker.zo_redraw` does."""
        if self.slots.learned.dirty:
            for piece in self.slices:
                piece.state.fold_into(piece.layer.base_layer.weight.data[piece.rows], step)
            self.slots.learned.folded()
        self.slots.redraw(step)

    def probe(self, step: int) -> None:
        self.slots.perturb(step, [slots.Sign(0, 1e-3), slots.Sign(0, -1e-3)], 1)

    def update(self, step: int) -> None:
        self.slots.learned.learn(step, [0.1], 1.0)
        self.slots.settle()


def _shape(layer: Any) -> tuple[int, int]:
    return layer.lora_b_stacked[0].shape[2], layer.lora_a_stacked[0].shape[3]


def _fold(dtype: torch.dtype) -> Any:
    return "nearest" if dtype == torch.float32 else "residual"


@pytest.fixture(autouse=True)
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A simulated one, for the length of a test."""
    monkeypatch.setattr(torch, "Generator", SimulatedGenerator)
    with on_simulated_card():
        yield


def batch(longest: int = 40) -> Any:
    """Six examples with options of one token, padded as for a graph, on the card."""
    examples = [Example((1, 5, 6, 7, *range(8, 8 + n)), ((3,), (4,)), 0) for n in range(6)]
    packed = pack(examples, 16, copies=True)
    pad(packed, examples, longest)
    uploader = forward.Forward.__new__(forward.Forward)
    uploader._device = CUDA
    return uploader.upload(packed, SIGNS)


def step(worker: FakeWorker, dtype: torch.dtype) -> torch.Tensor:
    """A probe, an update and a fold."""
    worker.redraw(0)
    scores = score(worker, dtype)
    worker.update(0)
    worker.redraw(1)
    return scores


def score(worker: FakeWorker, dtype: torch.dtype) -> torch.Tensor:
    """A probe by a pass through both blocks, and the scores of both signs."""
    worker.probe(0)
    laid_out = batch()
    tokens = len(laid_out.packed.token_ids)
    x = torch.zeros(SIGNS * tokens, WIDTH, dtype=dtype, device=CUDA)
    with worker.layers.during(layers.Pass(SIGNS, tokens, laid_out.rows)):
        for number in range(2):
            of_block = {name: worker.modules[f"model.layers.{number}.{name}"].apply for name in BLOCK}
            q, k, v = of_block["qkv_proj"](x).chunk(3, -1)
            x = of_block["fc2"](of_block["fc1"](of_block["out_proj"](q + k + v)))
    model = SimpleNamespace(
        lm_head=FakeLinear(VOCABULARY, WIDTH, dtype),
        logits_processor=SimpleNamespace(soft_cap=None, scale=1.0),
        compute_logits=lambda hidden: hidden @ model.lm_head.weight.T,
    )
    hidden = x.view(SIGNS, tokens, WIDTH)[:, laid_out.rows]
    one_token = head.option_logits(model, hidden, laid_out)
    several = head.log_probabilities(model, hidden, laid_out)
    assert one_token.shape == several.shape == (SIGNS, len(laid_out.targets))
    assert one_token.dtype == several.dtype == torch.float32
    return several


CORE = Space(coordinates="core", basis="orthonormal", rank=8)


@pytest.mark.parametrize(
    ("dtype", "space"),
    [
        (torch.float16, Space(rank=2)),
        (torch.bfloat16, Space(rank=8)),
        (torch.float32, Space(rank=2)),
        (torch.bfloat16, CORE),
    ],
    ids=str,
)
def test_a_step_stays_on_its_device_and_in_its_precision(dtype: torch.dtype, space: Space) -> None:
    assert step(FakeWorker(dtype, space), dtype).device == CUDA


@pytest.mark.parametrize("space", [Space(rank=2), CORE], ids=str)
def test_nothing_waits_between_a_perturbation_and_its_scores(space: Space) -> None:
    worker = FakeWorker(torch.float16, space)
    worker.redraw(0)
    counters.restart()
    scores = score(worker, torch.float16)
    worker.update(0)
    assert not counters.waits and counters.kernels
    scores.tolist()
    assert sum(counters.waits.values()) == 1


def v_on_the_host(worker: FakeWorker) -> None:
    for piece in worker.slices:
        piece.state.v = piece.state.v.cpu()


def weight_on_the_host(worker: FakeWorker) -> None:
    layer = worker.modules["model.layers.1.fc1"].base_layer
    layer.weight = torch.nn.Parameter(layer.weight.cpu(), requires_grad=False)


def factors_of_another_precision(worker: FakeWorker) -> None:
    for layer in worker.modules.values():
        ours = layer.apply.__self__
        ours._a = ours._a.double()


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (v_on_the_host, "v of _fold cannot be accessed from Triton"),
        (weight_on_the_host, "same device"),
        (factors_of_another_precision, "dtype"),
    ],
)
def test_a_tensor_that_is_elsewhere_is_seen(break_it: Callable[[FakeWorker], None], said: str) -> None:
    worker = FakeWorker(torch.float16)
    break_it(worker)
    with pytest.raises((RuntimeError, ValueError), match=said):
        step(worker, torch.float16)
