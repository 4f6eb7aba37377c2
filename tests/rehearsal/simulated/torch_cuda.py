"""torch.cuda and torch.accelerator, as they answer where the simulated card is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from tests.rehearsal.simulated.card import Card
from tests.rehearsal.simulated.storages import waited

_Generator = torch.Generator


class SimulatedEvent:
    """Stands in for torch.cuda.Event; everything before it is done already."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._at = time.perf_counter()

    def record(self, *args: Any, **kwargs: Any) -> None:
        self._at = time.perf_counter()

    def synchronize(self) -> None:
        waited("event")

    def wait(self, *args: Any, **kwargs: Any) -> None:
        """A stream waits, not the host."""

    def query(self) -> bool:
        return True

    def elapsed_time(self, other: SimulatedEvent) -> float:
        return (other._at - self._at) * 1000


class SimulatedStream:
    """Stands in for torch.cuda.Stream; all are one."""

    cuda_stream = stream_id = device_index = 0
    device_type = 1
    device = torch.device("cuda", 0)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __enter__(self) -> SimulatedStream:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def synchronize(self) -> None:
        waited("stream")

    def wait_event(self, *args: Any, **kwargs: Any) -> None:
        """A stream waits, not the host."""

    wait_stream = wait_event

    def record_event(self, event: SimulatedEvent | None = None) -> SimulatedEvent:
        return event or SimulatedEvent()

    def query(self) -> bool:
        return True


class SimulatedGenerator(_Generator):
    """A generator that is asked for on the card draws on the host: other numbers than a real card's."""

    def __new__(cls, device: Any = "cpu") -> Any:
        return _Generator.__new__(cls, device="cpu")


def install(card: Card) -> None:
    """In the place of torch's own answers."""
    stream = SimulatedStream()

    def says(value: Any) -> Callable[..., Any]:
        return lambda *args, **kwargs: value

    def synchronize(*args: Any, **kwargs: Any) -> None:
        waited("synchronize")

    both = {
        "synchronize": synchronize,
        "current_stream": says(stream),
        "set_stream": says(None),
        "empty_cache": says(None),
        "memory_stats": says({}),
        "memory_allocated": says(0),
        "memory_reserved": says(0),
        "max_memory_allocated": says(0),
        "max_memory_reserved": says(0),
        "reset_peak_memory_stats": says(None),
        "is_available": says(True),
        "device_count": says(1),
    }
    of_cuda = {
        **both,
        "is_initialized": says(True),
        "init": says(None),
        "_lazy_init": says(None),
        "_device_count_nvml": says(1),
        "_exchange_device": says(0),
        "_maybe_exchange_device": says(0),
        "current_device": says(0),
        "set_device": says(None),
        "get_device_name": says(card.name),
        "get_device_properties": says(card.properties),
        "get_device_capability": says(card.capability),
        "mem_get_info": says((card.free, card.total)),
        "ipc_collect": says(None),
        "default_stream": says(stream),
        "stream": says(stream),
        "Stream": SimulatedStream,
        "Event": SimulatedEvent,
        "manual_seed": says(None),
        "manual_seed_all": says(None),
        "is_bf16_supported": says(True),
        "get_arch_list": says([f"sm_{card.capability[0]}{card.capability[1]}"]),
    }
    of_accelerator = {
        **both,
        "current_accelerator": says(torch.device("cuda")),
        "current_device_index": says(0),
        "current_device_idx": says(0),
        "set_device_index": says(None),
        "set_device_idx": says(None),
        "device_index": says(stream),
        "reset_accumulated_memory_stats": says(None),
        "empty_host_cache": says(None),
        "get_memory_info": says((card.free, card.total)),
    }
    for place, answers in ((torch.cuda, of_cuda), (torch.accelerator, of_accelerator)):
        for name, answer in answers.items():
            setattr(place, name, answer)
            for inner in ("memory", "streams", "random"):
                if hasattr(getattr(place, inner, None), name):
                    setattr(getattr(place, inner), name, answer)
    torch.Event, torch.Stream = SimulatedEvent, SimulatedStream  # type: ignore[misc, assignment]
    torch.Generator = SimulatedGenerator  # type: ignore[misc]
    torch.version.cuda = torch.version.cuda or "13.0"
