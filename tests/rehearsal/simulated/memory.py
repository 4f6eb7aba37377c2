"""Which tensors are said to lie on the card, and what crosses between it and the host.

What lies on the card is known by its storage (`storages`). A mode of torch's functions turns what is asked of `cuda`
into the CPU and marks what comes of it; a mode of torch's dispatcher hands the mark on from the inputs of an operator
to its outputs, and counts a kernel for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.rehearsal.simulated.counters import counters
from tests.rehearsal.simulated.storages import CARD, EXPECTED, PINNED, tensors, waited

_DEVICE = torch.device("cuda", 0)
_SMALL_COPY = 2**16  # bytes that a copy from pageable memory may have, not to wait for the card (CUDA driver API, sync)
_building: list[bool] = [False]  # whether a function that makes a tensor out of nothing is to make it on the card


# -- the functions of torch ---------------------------------------------------------------------------------------

_MAKE_FROM_DATA = {"tensor", "as_tensor", "asarray", "new_tensor"}
_TO_HOST = {"tolist", "numpy", "__array__"}


class Functions(TorchFunctionMode):
    """What Python asks of torch."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if func is torch.device or name == "_parse_to":  # a description of a device, of which nothing is made
            return func(*args, **kwargs)
        if name == "__get__" and isinstance(args[0], torch.Tensor):
            known = _PROPERTIES.get(func.__self__.__name__)
            return func(*args, **kwargs) if known is None else known(args[0], func)
        if name in _METHODS:
            return _METHODS[name](func, *args, **kwargs)
        if name in _TO_HOST and args[0] in CARD:
            if name != "tolist":
                raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
            waited("tolist")
        elif name in _TO_HOST and args[0] in EXPECTED:
            raise RuntimeError("simulated card: a copy from the card is read before anything waited for it")
        if kwargs.pop("pin_memory", False):
            return _pinned(self._run(func, args, kwargs, name))
        return self._run(func, args, kwargs, name)

    def _run(self, func: Any, args: Any, kwargs: Any, name: str) -> Any:
        wanted, args, kwargs = _on_cpu(args, kwargs)
        if name == "new_tensor" and wanted is None and args[0] in CARD:
            wanted = "card"
        if wanted is None:
            return func(*args, **kwargs)
        before, _building[0] = _building[0], wanted == "card"
        try:
            made = func(*args, **kwargs)
        finally:
            _building[0] = before
        non_blocking = bool(kwargs.get("non_blocking"))
        given = [] if name == "new_tensor" else list(tensors(args, kwargs))
        if name in _MAKE_FROM_DATA and wanted == "card" and not given:
            _crossed(made, "to the card", non_blocking)
        if isinstance(made, torch.Tensor):
            return made if made.is_meta else _placed(made, given, wanted, non_blocking)
        return made


def _placed(made: torch.Tensor, given: list[torch.Tensor], wanted: str, non_blocking: bool) -> torch.Tensor:
    """What a function made where it is wanted: a copy if it is elsewhere."""
    sources = [source for source in given if not source.is_meta]
    from_card = any(source in CARD for source in sources)
    if sources and from_card != (wanted == "card"):
        shared = made.untyped_storage()._cdata in {source.untyped_storage()._cdata for source in sources}
        kind = type(made)
        if shared:
            with torch.utils._python_dispatch._disable_current_modes():
                made = made.detach().clone() if kind is torch.nn.Parameter else made.clone()
        if wanted == "card":
            _crossed(made, "to the card", non_blocking and (sources[0] in PINNED or _bytes(made) <= _SMALL_COPY))
        elif not made.is_meta:
            # A copy that does not wait lands in pinned memory, which torch takes for it.
            _crossed(made, "to the host", non_blocking)
            if non_blocking:
                PINNED.add(made)
                EXPECTED.add(made)
    (CARD.add if wanted == "card" else CARD.discard)(made)
    return made


def _crossed(made: torch.Tensor, what: str, freely: bool) -> None:
    """Something was copied between host and card; unless `freely`, the host waited for it."""
    counters.kernel(f"copy {what}", lambda: None)
    if not freely:
        waited(f"copy {what}")


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _pinned(made: torch.Tensor) -> torch.Tensor:
    PINNED.add(made)
    return made


def _is_pinned(func: Any, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> bool:
    return tensor in PINNED


def _pin(func: Any, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    if tensor in CARD:
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
    return tensor if tensor in PINNED else _pinned(tensor.clone())


def _to_card(func: Any, tensor: torch.Tensor, *args: Any, non_blocking: bool = False, **kwargs: Any) -> torch.Tensor:
    return _placed(tensor, [tensor], "card", non_blocking)


def _to_cpu(func: Any, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return _placed(tensor, [tensor], "host", False)


_METHODS: dict[str, Callable[..., Any]] = {
    "pin_memory": _pin,
    "is_pinned": _is_pinned,
    "cuda": _to_card,
    "cpu": _to_cpu,
    "record_stream": lambda func, *args, **kwargs: None,
    "get_device": lambda func, tensor: 0 if tensor in CARD else -1,
}

_PROPERTIES: dict[str, Callable[[torch.Tensor, Any], Any]] = {
    "device": lambda tensor, get: _DEVICE if tensor in CARD else get(tensor),
    "is_cuda": lambda tensor, get: tensor in CARD,
    "is_cpu": lambda tensor, get: get(tensor) and tensor not in CARD,
}


def _on_cpu(args: Any, kwargs: Any) -> tuple[str | None, Any, Any]:
    """The arguments with `cuda` made `cpu`, and where they wanted it: card, host or None."""
    wanted = None

    def plain(value: Any) -> Any:
        nonlocal wanted
        if isinstance(value, torch.device) or (
            isinstance(value, str) and value.partition(":")[0] in ("cuda", "cpu", "meta")
        ):
            kind = value.type if isinstance(value, torch.device) else value.partition(":")[0]
            if kind in ("cuda", "cpu"):
                wanted = "card" if kind == "cuda" else "host"
                return torch.device("cpu")
        return value

    if isinstance(kwargs.get("device"), int):
        kwargs["device"] = "cuda"
    elif kwargs.get("device", "") is None:
        del kwargs["device"]
    args = tuple(plain(value) for value in args)
    if "device" in kwargs:
        kwargs["device"] = plain(kwargs["device"])
    return wanted, args, kwargs


# -- the operators that they come to ------------------------------------------------------------------------------

_WAIT = {
    "aten::_local_scalar_dense": "item",
    "aten::nonzero": "nonzero",
    "aten::masked_select": "masked_select",
    "aten::equal": "equal",
    "aten::_unique2": "unique",
    "aten::unique_consecutive": "unique_consecutive",
    "aten::unique_dim": "unique",
    "aten::repeat_interleave": "repeat_interleave",
}
_MAY_MIX = ("aten::copy_", "aten::_to_copy", "aten::index", "aten::set_", "aten::_index_put_impl_")
_NO_KERNELS = ("aten::set_", "aten::resize_", "aten::lift_fresh", "aten::_local_scalar_dense", "aten::_unsafe_view")
#: Operators that are written in Python, by name: what they do is counted, not they.
in_python: dict[str, Callable[..., Any]] = {}


class Operators(TorchDispatchMode):
    """What reaches torch's dispatcher."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        if name in in_python:
            with self, Functions():
                return in_python[name](*args, **kwargs)
        with torch._C.DisableTorchFunction():
            return self._run(func, name, args, kwargs)

    def _run(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        given = list(tensors(args, kwargs))
        here = [tensor for tensor in given if tensor in CARD]
        on_card = bool(here) or (not given and _building[0])
        if not on_card:
            return func(*args, **kwargs)
        if here and len(here) < len(given):
            self._mixed(name, args, kwargs, given)
        if name in _WAIT and not (name == "aten::repeat_interleave" and kwargs.get("output_size") is not None):
            waited(_WAIT[name])
        indexed = name in ("aten::index", "aten::index_put_", "aten::_index_put_impl_")
        if indexed and any(index.dtype in (torch.bool, torch.uint8) for index in tensors(args[1])):
            waited("index by a mask")
        out = func(*args, **kwargs)
        received = None
        if name == "aten::copy_" and args[0] not in CARD:
            received = args[0]
        for made in tensors(out):
            if made is not received:
                CARD.add(made)
        if not _is_no_kernel(func, name, given, out):
            counters.kernel(name, lambda: _again(func, args, kwargs, out))
        return out

    def _mixed(self, name: str, args: Any, kwargs: Any, given: list[torch.Tensor]) -> None:
        """Tensors of both sides meet: a copy, or an error, unless the host's are single numbers."""
        elsewhere = [t for t in given if t not in CARD and (t.dim() or name == "aten::copy_") and t.numel()]
        if not elsewhere:
            return
        if name == "aten::copy_":
            to, source = args[:2]
            non_blocking = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
            if to in CARD:
                freely = non_blocking and (source in PINNED or _bytes(source) <= _SMALL_COPY)
            else:
                freely = non_blocking and to in PINNED
            if not freely:
                waited("copy_")
            elif to not in CARD:
                EXPECTED.add(to)
        elif name.startswith("aten::index"):
            waited("index by the host's")
        elif name.startswith("aten::") and not name.startswith(_MAY_MIX):
            raise RuntimeError(
                f"simulated card: Expected all tensors to be on the same device, but found at least two, "
                f"cuda:0 and cpu! ({name})"
            )


def _is_no_kernel(func: Any, name: str, given: list[torch.Tensor], out: Any) -> bool:
    """Whether an operator only made a view, or room."""
    if "empty" in name or name in _NO_KERNELS:
        return True
    if not any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns):
        return False
    # What may be a view or a copy, such as `reshape` and `to`, is told by what it became.
    there = {tensor.untyped_storage()._cdata for tensor in given}
    return all(made.untyped_storage()._cdata in there for made in tensors(out))


def _again(func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """An operator once more, into the memory of its former results."""
    for former, new in zip(tensors(out), tensors(func(*args, **kwargs)), strict=True):
        if former.numel() and former.data_ptr() != new.data_ptr():
            former.copy_(new)


@contextmanager
def on_simulated_card() -> Iterator[None]:
    """Within this, tensors are said to be on `cuda`, whatever torch was built for; nothing else of a card is there."""
    with Operators(), Functions():
        yield


def install() -> None:
    """From now on, for good."""
    Operators().__enter__()
    Functions().__enter__()
